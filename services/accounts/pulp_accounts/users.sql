-- lock --
-- Who changes users does it alone: names are compared, administrators counted. Readers go on.
lock table users in share row exclusive mode;

-- names --
select name from users;

-- add --
insert into users (name, password_hash, role) values (%(name)s, %(password_hash)s, %(role)s)
on conflict do nothing returning name;

-- note_first_admin --
-- The first administrator; nothing for any other.
insert into first_admin default values on conflict do nothing returning made_at;

-- set_password --
update users set password_hash = %(password_hash)s, changed_at = now() where name = %(name)s returning name;

-- set_role --
update users set role = %(role)s, changed_at = now() where name = %(name)s returning name;

-- other_admins --
select count(*) from users where role = 'admin' and name <> %(name)s;

-- remove --
delete from users where name = %(name)s returning name;

-- list --
select name, role, created_at, changed_at, last_login_at, password_hash from users order by name;

-- credentials --
select name, password_hash, role, changed_at from users where name = any(%(names)s) order by name <> %(first)s limit 1;

-- note_login --
update users set last_login_at = now() where name = %(name)s;

-- rehash --
-- Only in place of the hash that was matched: whoever has changed the password meanwhile is right.
update users set password_hash = %(password_hash)s where name = %(name)s and password_hash = %(matched)s
returning name;
