-- The history is divided by months of the broker's time. Earlier generations keep what they have as one part, up to the
-- end of this month; a rebuild divides it. For that, Postgres reads the time of each event, and copies nothing;
-- meanwhile readers and batches wait. Processors of an older release may go on: they write through the table that has
-- the parts. Stop rebuilds of an older release first: they would create a history without parts, which works but is
-- divided only by the next rebuild.

-- The parts of a generation's history. A null bound has no end; the part with neither takes what fits no other.
create function history_parts(of_generation integer)
    returns table (name text, since timestamptz, until timestamptz, is_rest boolean)
    language sql stable set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
select p.relname::text,
       substring(b.bound from 'FROM \(''([^'']+)''\)')::timestamptz,
       substring(b.bound from 'TO \(''([^'']+)''\)')::timestamptz,
       b.bound = 'DEFAULT'
  from pg_inherits i
  join pg_class p on p.oid = i.inhrelid
 cross join lateral (select pg_get_expr(p.relpartbound, p.oid) as bound) b
 where i.inhparent = to_regclass(format('generation_%s.task_events', of_generation))
$$;

-- Creates the part for a month, unless a part covers some of it, and moves the rest's rows of the month to it. False:
-- the rest was in use, and takes the rows of that month until the next try.
create function make_history_month(of_generation integer, low timestamptz) returns boolean
    language plpgsql set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
declare
    made_in text := format('generation_%s', of_generation);
    made text := 'task_events_' || to_char(low, 'YYYY_MM');
    high timestamptz := low + interval '1 month';
begin
    if exists (select from public.history_parts(of_generation) p where not p.is_rest and coalesce(p.since < high, true) and p.until > low)
       or not exists (select from public.history_parts(of_generation) p where p.is_rest) then
        return true;
    end if;
    execute format('lock table %I.task_events_rest in access exclusive mode', made_in);
    if exists (select from public.history_parts(of_generation) p where not p.is_rest and coalesce(p.since < high, true) and p.until > low) then
        return true;  -- by another processor, meanwhile
    end if;
    execute format('create table %I.%I (like %I.task_events including defaults including storage)', made_in, made, made_in);
    if to_regclass(format('%I.task_events_by_task', made_in)) is not null then  -- or else its indexes are yet to be built
        execute format('alter table %I.%I add primary key (partition, record_offset)', made_in, made);
    end if;
    execute format('with moved as (delete from %I.task_events_rest where broker_time >= $1 and broker_time < $2 returning *)'
                   ' insert into %I.%I select * from moved', made_in, made_in, made) using low, high;
    execute format('alter table %I.task_events attach partition %I.%I for values from (%L) to (%L)',
                   made_in, made_in, made, low, high);
    return true;
exception when lock_not_available then
    return false;
end $$;

-- Creates the parts for the month of a time, and for the three that follow this one. A month that no broker's clock
-- should report gets none: the rest takes its rows. Whoever writes a generation may call it, and can create nothing
-- else by it.
create function make_history_months(of_generation integer, at timestamptz) returns boolean
    language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set lock_timeout = '200ms' as $$
declare
    this timestamptz := date_trunc('month', now());
    own timestamptz := date_trunc('month', at);
    is_made boolean := true;
begin
    if own >= '2010-01-01' and own < this then
        is_made := public.make_history_month(of_generation, own);
    end if;
    for months in 0 .. 3 loop
        is_made := public.make_history_month(of_generation, this + make_interval(months => months)) and is_made;
    end loop;
    return is_made;
end $$;
revoke execute on function make_history_month(integer, timestamptz) from public;
revoke execute on function make_history_months(integer, timestamptz) from public;

do $$
declare
    number integer;
    made_in text;
    index_name text;
    ahead bigint;
    bound timestamptz := date_trunc('month', now(), 'UTC') + interval '1 month';
begin
    lock table active_generation in exclusive mode;  -- no batch is under way
    lock table generations in exclusive mode;        -- nor one of a rebuild
    for number in select generation from generations order by generation loop
        made_in := 'generation_' || number;
        if not exists (select from pg_class where oid = to_regclass(made_in || '.task_events') and relkind = 'r') then
            continue;
        end if;
        -- First, while readers go on: whether a clock was ahead of this month.
        execute format('select count(*) from %I.task_events where broker_time >= $1', made_in) into ahead using bound;
        execute format('alter table %I.task_events rename to task_events_before', made_in);
        for index_name in select indexname from pg_indexes where schemaname = made_in and tablename = 'task_events_before' loop
            execute format('alter index %I.%I rename to %I', made_in, index_name,
                           replace(index_name, 'task_events_', 'task_events_before_'));
        end loop;
        execute format('create table %I.task_events (like %I.task_events_before including defaults including storage)'
                       ' partition by range (broker_time)', made_in, made_in);
        execute format('create table %I.task_events_rest partition of %I.task_events default', made_in, made_in);
        if to_regclass(made_in || '.task_events_before_by_task') is not null then  -- or else its indexes are yet to be built
            execute format('alter table %I.task_events_rest add primary key (partition, record_offset)', made_in);
            execute format('create index task_events_by_task on %I.task_events (task_id, partition, record_offset)', made_in);
            execute format('create index task_events_without_effect on %I.task_events (task_id) where effect <> ''applied''', made_in);
            execute format('create index task_events_by_actor on %I.task_events (actor, partition, record_offset)'
                           ' where actor not like ''worker:%%''', made_in);
            execute format('create index task_events_rare on %I.task_events (partition, record_offset)'
                           ' where type not in (''org.pulpproject.task.accepted.v1'', ''org.pulpproject.task.accepted.v2'','
                           ' ''org.pulpproject.task.started.v1'', ''org.pulpproject.task.progress.v1'','
                           ' ''org.pulpproject.task.finished.v1'')', made_in);
            execute format('create index task_events_ignored on %I.task_events (partition, record_offset)'
                           ' where effect <> ''applied''', made_in);
        end if;
        if ahead > 0 then
            execute format('with moved as (delete from %I.task_events_before where broker_time >= $1 returning *)'
                           ' insert into %I.task_events_rest select * from moved', made_in, made_in) using bound;
        end if;
        -- It adopts the existing indexes as its own, and builds none.
        execute format('alter table %I.task_events attach partition %I.task_events_before for values from (minvalue) to (%L)',
                       made_in, made_in, bound);
        perform make_history_months(number, now());
    end loop;
    for made_in in select 'generation_' || generation from active_generation loop
        execute format('create or replace view public.task_events as select * from %I.task_events', made_in);
    end loop;
end $$;
