-- overrides --
select name, quota from quotas;

-- list --
select name, role, coalesce(quota, '') from user_quotas order by name;

-- set --
-- Returns no row for an unknown user.
insert into quotas (name, quota) select name, %(quota)s from users where name = %(name)s
on conflict (name) do update set quota = excluded.quota
returning name;

-- of --
select coalesce(quota, '') from user_quotas where name = %(name)s;

-- clear --
delete from quotas where name = %(name)s returning name;

-- take --
-- A token bucket in one statement, so that no two processes take the same tokens: takes up to `most`, or nothing if the bucket holds
-- less than `least`. It refills with time, up to `burst`. `granted` is what was taken.
insert into quota_buckets as b (name, bucket, tokens, granted, filled_at)
values (%(name)s, %(bucket)s, %(burst)s::float8 - least(%(most)s::float8, %(burst)s::float8),
        least(%(most)s::float8, %(burst)s::float8), clock_timestamp())
on conflict (name, bucket) do update
   set (tokens, granted, filled_at) = (
       select has - took, took, clock_timestamp()
         from (select has, case when has < %(least)s::float8 then 0 else least(has, %(most)s::float8) end as took
                 from (select least(%(burst)s::float8,
                                    b.tokens + %(rate)s::float8
                                        * greatest(0, extract(epoch from clock_timestamp() - b.filled_at)::float8)) as has) h) t)
returning granted, tokens;

-- unfinished --
-- The number of unfinished tasks of each user, and the positions at which it was counted.
select (select json_object_agg(partition, next_offset) from positions),
       (select json_object_agg(created_by, tasks)
          from (select created_by, count(*) as tasks from tasks
                 where not is_final(state) group by created_by) u);
