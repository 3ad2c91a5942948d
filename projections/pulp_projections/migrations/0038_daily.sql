-- Earlier generations get the daily statistics, from the tasks that have ended. This reads each task once; batches wait
-- meanwhile. Processors and rebuilds of an older release may go on, but they do not count the ends that they project:
-- `pulp-tasks verify` reports it, a rebuild mends it.

create function pg_temp.bucket(ms bigint) returns smallint language sql immutable as $$
    -- As `bucket_of` in daily/buckets.py.
    select (case when ms < 32 then greatest(ms, 0) else (b.bits - 5) * 16 + (ms >> (b.bits - 5)) end)::smallint
      from (select 65 - position('1' in ms::bit(64)::text) as bits) b
$$;

do $$
declare
    made_in text;
begin
    lock table active_generation in exclusive mode;  -- no batch is under way
    lock table generations in exclusive mode;        -- nor one of a rebuild
    for made_in in select 'generation_' || generation from generations order by generation loop
        if to_regclass(made_in || '.task_days') is not null then
            continue;
        end if;
        execute format(
            'create table %I.task_days (partition integer not null, day date not null, kind uuid not null, state text not null,'
            ' waited smallint not null, ran smallint not null, tasks bigint not null, operation text not null,'
            ' resources text[] not null, primary key (day, partition, kind, state, waited, ran)) with (fillfactor = 70)', made_in);
        execute format(
            'with ended as ('
            ' select partition, (finished_at at time zone ''UTC'')::date as day, state, operation,'
            '  array(select distinct u.r collate "C" from unnest(exclusive_resources || shared_resources) as u (r) order by 1) as resources,'
            '  (extract(epoch from coalesce(started_at, finished_at) - accepted_at) * 1000)::bigint as waited_ms,'
            '  (extract(epoch from finished_at - started_at) * 1000)::bigint as ran_ms'
            '  from %1$I.tasks where finished_at is not null)'
            ' insert into %1$I.task_days'
            ' select partition, day,'
            '  encode(substr(sha256(convert_to(to_json(array[operation] || resources)::text, ''UTF8'')), 1, 16), ''hex'')::uuid, state,'
            '  pg_temp.bucket(waited_ms), coalesce(pg_temp.bucket(ran_ms), -1), count(*), operation, resources'
            '  from ended group by 1, 2, 3, 4, 5, 6, operation, resources', made_in);
        execute format('analyze %I.task_days', made_in);
    end loop;
    for made_in in select 'generation_' || generation from active_generation loop
        execute format('create or replace view public.task_days as select * from %I.task_days', made_in);
    end loop;
end $$;

drop function pg_temp.bucket(bigint);
