-- page --
select u.name, u.role, u.created_at, true from users u where {where} order by {order} limit %(limit)s offset %(skip)s

-- count --
select count(*) from users u where {where}

-- found --
select name, role, created_at, true from users where name = %(name)s
 union all
select f.name, null, null, false from former_users f
 where f.name = %(name)s and not exists (select from users where name = %(name)s)


-- role_page --
select g.name from unnest(%(roles)s::text[]) with ordinality g (name, id)
 where {where} order by {order} limit %(limit)s offset %(skip)s

-- role_count --
select count(*) from unnest(%(roles)s::text[]) with ordinality g (name, id) where {where}
