-- given --
select user_name, role from {table} where {id} = %(object_id)s order by role, user_name;

-- of_user --
select role from {table} where {id} = %(object_id)s and user_name = %(user)s;

-- add --
insert into {table} ({id}, user_name, role)
select %(object_id)s, name, %(role)s from users where name = any (%(users)s)
on conflict do nothing
returning user_name;

-- remove --
delete from {table} where {id} = %(object_id)s and role = %(role)s and user_name = any (%(users)s)
returning user_name;

-- unknown_users --
select n.name from unnest(%(names)s::text[]) as n (name) where not exists (select from users u where u.name = n.name);
