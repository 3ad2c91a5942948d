-- lock --
-- One change of users at a time, because names are compared and administrators counted. Readers do not wait.
lock table users in share row exclusive mode;

-- names --
select name from users;

-- add --
insert into users (name, password_hash, role) values (%(name)s, %(password_hash)s, %(role)s)
on conflict do nothing returning name;

-- note_first_admin --
-- Returns a row for the first administrator only.
insert into first_admin default values on conflict do nothing returning made_at;

-- set_password --
update users set password_hash = %(password_hash)s, issuer = null, changed_at = now() where name = %(name)s returning name;

-- set_role --
update users set role = %(role)s, changed_at = now() where name = %(name)s returning name;

-- other_admins --
-- Without those of an issuer, which may be down.
select count(*) from users where role = 'admin' and issuer is null and name <> %(name)s;

-- remove --
with gone as (delete from users where name = %(name)s returning name)
insert into former_users (name) select name from gone on conflict (name) do update set removed_at = now();

-- list --
select name, role, created_at, changed_at, last_login_at, password_hash, issuer from users order by name;

-- credentials --
select name, password_hash, role, changed_at from users where name = any(%(names)s) order by name <> %(first)s limit 1;

-- note_login --
update users set last_login_at = now() where name = %(name)s;

-- rehash --
-- Only if the stored hash is still the one that was matched: a password changed in the meantime wins.
update users set password_hash = %(password_hash)s where name = %(name)s and password_hash = %(matched)s
returning name;

-- issuer --
select issuer, role from users where name = %(name)s;

-- vouch --
select vouch_user(%(name)s, %(role)s, %(issuer)s);
