-- parts --
-- The parts of the history, oldest first, with the size of each on disk.
select p.name, p.since, p.until, p.is_rest, pg_total_relation_size(format('generation_%%s.%%s', %(generation)s::int, p.name)::regclass)
  from history_parts(%(generation)s) p
 order by p.is_rest, p.until;

-- topic --
select name, topic_id from event_topic;

-- detached_sizes --
-- The tables that were detached and are kept.
select relname::text, pg_total_relation_size(oid) from pg_class
 where relnamespace = 'history_detached'::regnamespace and relkind = 'r';

-- places --
select partition, min(record_offset), max(record_offset), count(*) from {table} group by partition order by partition;

-- lasts --
-- The same maxima, each by one look into the key.
select p.partition, e.record_offset
  from {schema}.positions p
 cross join lateral (select max(record_offset) as record_offset from {table} where partition = p.partition) e
 where e.record_offset is not null
 order by p.partition;

-- events --
select record_offset, event from {table} where partition = %(partition)s order by record_offset;

-- unfinished --
-- Tasks that have not ended, with events in the part.
select t.task_id::text, t.partition, t.accepted_offset from {schema}.tasks t
 where not public.is_final(t.state) and exists (select from {table} e where e.task_id = t.task_id)
 limit 4;

-- waiting --
-- Dead letters of that time that are yet to be projected, or whose tasks are parked with events in the part.
select d.task_id::text, d.partition, d.record_offset
  from {schema}.dead_letters d
 where d.standing in ('parks', 'waits')
   and ((d.broker_time >= coalesce(%(since)s::timestamptz, '-infinity') and d.broker_time < %(until)s)
        or exists (select from {table} e where e.task_id = d.task_id))
 limit 4;

-- keep_effects --
insert into public.detached_effects (part, partition, record_offset, task_id, effect)
select %(part)s, partition, record_offset, task_id, effect from {table} where effect <> 'applied';

-- keep_ends --
-- Also if the tasks ended. The remains of a part that a killed command left are the same.
insert into public.detached_ends (task_id, part, record_offset)
select task_id, %(part)s, record_offset from {table}
 where type = 'org.pulpproject.task.finished.v1' and effect = 'applied'
    on conflict do nothing;

-- add --
insert into public.detached_history (part, since, until, ends, places, is_kept)
values (%(part)s, %(since)s, %(until)s, %(ends)s, %(places)s, true);

-- detach --
alter table {schema}.task_events detach partition {table};

-- put_away --
alter table {table} set schema history_detached;

-- drop --
drop table history_detached.{name};

-- set_dropped --
update public.detached_history set is_kept = false where part = %(part)s;

-- promise --
-- Postgres then need not look at each row while the history is locked.
alter table history_detached.{name} drop constraint if exists of_this_time,
                                    add constraint of_this_time check (broker_time < {until} and broker_time >= {since});

-- take_back --
-- The rest has rows that a clock has dated back since.
lock table {schema}.task_events_rest in access exclusive mode;
with moved as (
    delete from {schema}.task_events_rest where broker_time < {until} and broker_time >= {since} returning *
)
insert into history_detached.{name} ({columns}) select {columns} from moved;
alter table history_detached.{name} set schema {schema};
alter table {schema}.task_events attach partition {schema}.{name} for values from ({bound}) to ({until});
alter table {schema}.{name} drop constraint of_this_time;

-- forget --
delete from public.detached_history where part = %(part)s;

-- forget_ends --
delete from public.detached_ends where part = %(part)s;
