-- elect --
-- A dispatcher whose lease is over, or that has resigned, is followed by this one. No row: another dispatcher is elected,
-- or its last transaction, which holds a share lock on the row, is not over.
with free as (
    select singleton from dispatcher
     where renewed_at + make_interval(secs => %(lease_s)s) < now() or holder = %(holder)s
       for update skip locked
)
update dispatcher d set epoch = epoch + 1, settling_epoch = epoch + 1, holder = %(holder)s, renewed_at = now() from free
 where d.singleton = free.singleton
returning epoch;

-- evict --
-- Ends the session of a dispatcher that was stopped amid a transaction, once its lease is over: no timeout of Postgres
-- counts between two statements of a pipeline, and its lock would stay until it wakes.
select pg_terminate_backend(l.pid)
  from pg_locks l join pg_stat_activity a using (pid)
 where exists (select from dispatcher where renewed_at + make_interval(secs => %(lease_s)s) < now())
   and l.relation = 'dispatcher'::regclass and l.mode = 'RowShareLock' and a.datname = current_database()
   and a.xact_start + make_interval(secs => %(lease_s)s) < now();

-- renew --
update dispatcher set renewed_at = now() where epoch = %(epoch)s returning epoch;

-- resign --
-- Notifies the candidates.
with resigned as (
    update dispatcher set renewed_at = 'epoch' where epoch = %(epoch)s returning epoch
)
select pg_notify('pulp_election', '') from resigned;

-- settled --
-- Whether all workers have had a lease's time to put back what a server that took over may lack. No row: it has just
-- taken over.
select seen_at + make_interval(secs => coalesce((select max(lease_seconds) from workers where stopped_at is null), 0))
       < now()
  from timelines where timeline = timeline();

-- see_timeline --
insert into timelines values (timeline()) on conflict do nothing;

-- settle --
-- Tells people that this dispatcher assigns tasks from now on. The mark of a successor stays.
update dispatcher set settling_epoch = null where settling_epoch = %(epoch)s returning epoch;

-- facts --
-- What the dispatcher must know about a task: if it waits, everything that decides when it begins; if it has succeeded
-- under its claim, for how many seconds it ran; if it waits for its next attempt, for how many seconds more.
t.task_id, t.state, c.hold_id,
case when t.state = 'successful' and t.attempt_id = c.attempt_id
     then extract(epoch from t.finished_at - t.started_at)::float8 end,
greatest(extract(epoch from t.retry_at - now())::float8, 0),
t.accepted_at, t.partition, t.accepted_offset, t.queue, t.operation, t.priority,
t.exclusive_resources, t.shared_resources, t.created_by,
case when t.depends_on = '{}' then '{}' else array(
    select d.task_id from unnest(t.depends_on) as d (task_id)
     where not exists (select from tasks s where s.task_id = d.task_id and s.state = 'successful')) end,
exists (select from dead_letters p where p.task_id = t.task_id and p.partition = t.partition and p.standing = 'parks')

-- waiting --
-- A page of waiting tasks, for a new dispatcher. No waiting task is purged; saying so lets Postgres use the index.
select {facts} from tasks t left join claims c on c.task_id = t.task_id and c.released_at is null
 where t.state = 'waiting' and t.purged_at is null and (t.accepted_at, t.task_id) > (%(accepted_at)s::timestamptz, %(task_id)s::uuid)
 order by t.accepted_at, t.task_id
 limit %(most)s;

-- some --
-- Some tasks, by their ids.
select {facts}
  from tasks t left join claims c on c.task_id = t.task_id and c.released_at is null
 where t.task_id = any (%(task_ids)s::uuid[]);

-- moved --
-- The tasks whose state may have changed since some positions, or that have been parked since, or let go on; whether they
-- were accepted since then outside of a trace, as far as the types `accepted` are given; with the generation and its
-- positions, all from one moment.
with seen as (
    select * from unnest(%(partitions)s::int[], %(offsets)s::bigint[]) as s (partition, next_offset)
), changed as (
    select e.task_id, e.type = any (%(accepted)s::text[]) and position('"traceparent"' in e.event) = 0 as is_untraced
      from seen s join task_events e on e.partition = s.partition and e.record_offset >= s.next_offset
     where e.effect = 'applied' and e.type <> all (%(still)s::text[]) or e.type = 'org.pulpproject.task.unparked.v1'
     union all
    select d.task_id, false
      from seen s join dead_letters d on d.partition = s.partition and d.record_offset >= s.next_offset
     where d.standing = 'parks'
), moved as materialized (
    select task_id, bool_or(is_untraced) as is_untraced from changed group by task_id
)
select a.generation, (select json_object_agg(partition, next_offset) from positions), m.is_untraced, {facts}
  from active_generation a
  left join (moved m join tasks t on t.task_id = m.task_id left join claims c on c.task_id = t.task_id and c.released_at is null)
    on true;

-- holds --
-- Slots that are in use: their tasks that have not succeeded, in the order in which they run; those that have, whose
-- claims a dispatcher did not end before it lost its lease; who submitted the first of the former; and the resources.
select h.hold_id, h.instance_id, c.remaining, c.succeeded, coalesce(c.users[1], ''),
       array(select resource from reservations r where r.hold_id = h.hold_id and exclusive),
       array(select resource from reservations r where r.hold_id = h.hold_id and not exclusive)
  from holds h
 cross join lateral (
       select coalesce(array_agg(c.task_id order by c.place) filter (where not u.has_succeeded), '{}') as remaining,
              coalesce(array_agg(c.task_id order by c.place) filter (where u.has_succeeded), '{}') as succeeded,
              array_agg(t.created_by order by c.place) filter (where not u.has_succeeded) as users
         from claims c
         left join tasks t using (task_id)
        cross join lateral (
              select coalesce(t.state = 'successful' and t.attempt_id = c.attempt_id, false) as has_succeeded) u
        where c.hold_id = h.hold_id and c.released_at is null) c;

-- workers --
-- The workers that take tasks.
select name, instance_id, queues, operations, concurrency, resting or not listening
  from workers
 where stopped_at is null and not draining and heartbeat_at + make_interval(secs => lease_seconds) > now();

-- rest --
with elected as materialized (
    select epoch from dispatcher where epoch = %(epoch)s for share
)
update workers set resting = true from elected where instance_id = any (%(instance_ids)s::uuid[])
returning instance_id;

-- wake --
-- Including whether each still listens: a worker stops only while its row says that it may rest.
with elected as materialized (
    select epoch from dispatcher where epoch = %(epoch)s for share
)
update workers set resting = false from elected where instance_id = any (%(instance_ids)s::uuid[])
returning instance_id, listening;

-- quotas --
select 'user:' || name, role, coalesce(quota, '') from user_quotas;

-- offered --
-- What some worker could run at any time since a moment; and that moment.
select m.since, o.queue, o.operation
  from (select now() - make_interval(secs => %(unserved_s)s) as since) m
  left join offers o on o.seen_at > m.since
 group by 1, 2, 3;

-- end --
-- Ends the claims of tasks that have succeeded; then those of the holds that have no claim left. Only the attempt
-- itself can say that a task has succeeded, so its operation runs no more. Returns the epoch, if it is still this
-- dispatcher's, and the holds that have ended, also those that a worker has deleted after a failover.
with elected as materialized (
    select epoch from dispatcher where epoch = %(epoch)s for share
), told as materialized (  -- else all tasks might be read that have succeeded, by the index of states
    select task_id, state, attempt_id from tasks where task_id = any (%(task_ids)s::uuid[])
), ended as (
    delete from claims c using told t, elected
     where c.task_id = any (%(task_ids)s::uuid[]) and t.task_id = c.task_id
       and t.state = 'successful' and t.attempt_id = c.attempt_id
 returning c.task_id
), empty as (
    delete from holds h using elected
     where h.hold_id = any (%(hold_ids)s::uuid[])
       and not exists (select from claims c
                        where c.hold_id = h.hold_id and c.released_at is null
                          and c.task_id <> all (array(select task_id from ended)))
 returning h.hold_id
)
select (select epoch from elected), array(
       select hold_id from empty
        union all
       select hold_id from unnest(%(hold_ids)s::uuid[]) as g (hold_id)
        where not exists (select from holds h where h.hold_id = g.hold_id));

-- forgotten --
-- Holds without a claim whose notification was missed.
select hold_id from holds h
 where not exists (select from claims c where c.hold_id = h.hold_id and c.released_at is null);

-- assign --
-- Holds for slots of workers, claims for the tasks in them, reservations, and a notification to each worker. An attempt
-- number is never given twice: a claim's row stays until its task is final, and a row that a failover has lost is not
-- needed where the attempt has started. Tokens rise with every task, in the order of the hold, also over a failover.
-- Returns the epoch, if it is still this dispatcher's, and the tasks that were claimed: those that still waited.
with elected as materialized (
    select epoch from dispatcher where epoch = %(epoch)s for share
), held as (
    insert into holds (hold_id, worker, instance_id)
    select h.* from elected, unnest(%(hold_ids)s::uuid[], %(workers)s::text[], %(instance_ids)s::uuid[]) as h
 returning hold_id, worker, instance_id
), wanted as materialized (
    select w.*, h.worker, h.instance_id, t.partition, t.state, t.attempt as last_attempt, u.resources, u.exclusives
      from unnest(%(task_ids)s::uuid[], %(holds_of)s::uuid[], %(places)s::int[]) as w (task_id, hold_id, place)
      join held h using (hold_id)
      join tasks t using (task_id)
     cross join lateral (
           select coalesce(array_agg(resource order by resource collate "C"), '{}') as resources,
                  array_agg(is_exclusive order by resource collate "C") as exclusives
             from (select resource, bool_or(is_exclusive) as is_exclusive
                     from (select unnest(t.exclusive_resources) as resource, true as is_exclusive
                            union all
                           select unnest(t.shared_resources), false) each
                    group by resource) one) u
), claimed as (
    insert into claims as c (task_id, attempt, attempt_id, worker, instance_id, partition, hold_id, place, tokens)
    select w.task_id, greatest(w.last_attempt, (select p.attempt from claims p where p.task_id = w.task_id)) + 1, gen_random_uuid(),
           w.worker, w.instance_id, w.partition, w.hold_id, w.place,
           array(select next_fencing_token() from unnest(w.resources))
      from wanted w
     where w.state = 'waiting'  -- one that has ended meanwhile has lost the row of its claim, and with it its number
       and not exists (select from dead_letters p
                        where p.task_id = w.task_id and p.partition = w.partition and p.standing = 'parks')
     order by w.hold_id, w.place
        on conflict (task_id) do update
       set attempt = excluded.attempt, attempt_id = excluded.attempt_id, worker = excluded.worker,
           instance_id = excluded.instance_id, hold_id = excluded.hold_id, place = excluded.place,
           tokens = excluded.tokens, claimed_at = now(), released_at = null
     where c.released_at is not null
 returning c.task_id
), reserved as (
    insert into reservations (hold_id, resource, exclusive, token, slot)
    select w.hold_id, u.resource, u.is_exclusive, u.token,
           case when u.is_exclusive then int8range(null, null) else int8range(u.token, u.token, '[]') end
      from wanted w
     cross join lateral (
           select resource, is_exclusive, next_fencing_token() as token
             from unnest(w.resources, w.exclusives) as r (resource, is_exclusive)) u
     where w.place = 0
)
select (select epoch from elected), array(select task_id from claimed),
       (select count(pg_notify(n.channel, 'assigned')) from unnest(%(channels)s::text[]) as n (channel), elected);
