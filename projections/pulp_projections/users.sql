-- add --
insert into users (name, password_hash, role) values (%(name)s, %(password_hash)s, %(role)s)
on conflict do nothing returning name;

-- set_password --
update users set password_hash = %(password_hash)s where name = %(name)s returning name;

-- remove --
delete from users where name = %(name)s returning name;

-- list --
select name, role, created_at from users order by name;

-- credentials --
select password_hash, role from users where name = %(name)s;
