-- given --
select user_name, role from task_roles where task_id = %(task_id)s order by role, user_name;

-- of_user --
select role from task_roles where task_id = %(task_id)s and user_name = %(user)s;

-- unknown_users --
select n.name from unnest(%(names)s::text[]) as n (name) where not exists (select from users u where u.name = n.name);

-- add --
insert into task_roles (task_id, user_name, role)
select %(task_id)s, name, %(role)s from users where name = any (%(users)s)
on conflict do nothing
returning user_name;

-- remove --
delete from task_roles where task_id = %(task_id)s and role = %(role)s and user_name = any (%(users)s)
returning user_name;
