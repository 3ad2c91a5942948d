-- claim_lock --
-- One claim at a time finds its tasks without a conflict; the constraints would refuse a conflict all the same.
select pg_advisory_xact_lock(%(number)s);

-- may_claim --
-- Whether all workers have had a lease's time to put back what a server that took over may lack. No row: it has just
-- taken over.
select seen_at + make_interval(secs => coalesce((select max(lease_seconds) from workers where stopped_at is null), 0))
       < now()
  from timelines where timeline = timeline();

-- see_timeline --
insert into timelines values (timeline()) on conflict do nothing;

-- reserved --
-- The resources that are held, and whether exclusively.
select resource, bool_or(exclusive) from reservations group by resource;

-- waiting --
-- Unclaimed waiting tasks in order of acceptance, from a place on. Those whose resources are all `hopeless` are left out:
-- they cannot run, and stop nobody who is not stopped already.
select t.accepted_at, t.partition, t.accepted_offset, t.task_id, coalesce(c.attempt, 0) + 1, t.priority,
       t.queue = any (%(queues)s) and t.operation = any (%(operations)s)
           and (t.depends_on = '{}' or not exists (
               select from unnest(t.depends_on) as d (task_id)
                where not exists (select from tasks s where s.task_id = d.task_id and s.state = 'successful'))),
       t.exclusive_resources, t.shared_resources, t.created_by
  from tasks t
  left join claims c on c.task_id = t.task_id
 where t.state = 'waiting'
   and (t.accepted_at, t.partition, t.accepted_offset) > (%(accepted_at)s::timestamptz, %(partition)s, %(offset)s)
   and (c.task_id is null or c.released_at is not null)
   and (t.exclusive_resources = '{}' and t.shared_resources = '{}'
        or not (t.exclusive_resources <@ %(hopeless)s::text[] and t.shared_resources <@ %(hopeless)s::text[]))
 order by t.accepted_at, t.partition, t.accepted_offset
 limit %(most)s;

-- not_left_out --
-- What `waiting` and `may_miss` ask as well where something has to be left out. Tasks without resources of users that are
-- `full` stop nobody. Nor do tasks that nobody could run for `unserved_s`, since no worker of their queue offers their operation
-- or since they depend on such a task: until a worker comes that can.
and not (t.exclusive_resources = '{}' and t.shared_resources = '{}' and t.created_by = any (%(full)s::text[]))
and (t.accepted_at > now() - make_interval(secs => %(unserved_s)s)
     or (t.queue = any (%(queues)s) and t.operation = any (%(operations)s)
         or (t.queue, t.operation) in (
             select queue, operation from offers where seen_at > now() - make_interval(secs => %(unserved_s)s)))
        and (t.depends_on = '{}' or not exists (
            with recursive line as (
                select s.task_id, s.queue, s.operation, s.depends_on, s.accepted_at
                  from unnest(t.depends_on) as d (task_id) join tasks s on s.task_id = d.task_id
                 where s.state = 'waiting'
                union
                select s.task_id, s.queue, s.operation, s.depends_on, s.accepted_at
                  from line l cross join unnest(l.depends_on) as d (task_id) join tasks s on s.task_id = d.task_id
                 where s.state = 'waiting'
            )
            select from line
             where accepted_at <= now() - make_interval(secs => %(unserved_s)s)
               and (queue, operation) not in (
                   select queue, operation from offers where seen_at > now() - make_interval(secs => %(unserved_s)s)))))

-- has_unserved --
-- Whether something waits that nobody could run for `unserved_s`.
select exists (
    select from tasks
     where state = 'waiting' and accepted_at <= now() - make_interval(secs => %(unserved_s)s)
       and (queue, operation) not in (
           select queue, operation from offers where seen_at > now() - make_interval(secs => %(unserved_s)s)));

-- running --
-- How many slots the tasks of each of these users take.
select t.created_by, count(*)
  from claims c join tasks t using (task_id)
 where c.released_at is null and t.created_by = any (%(users)s)
   and (t.state <> 'waiting' or t.exclusive_resources = '{}' and t.shared_resources = '{}'
        or exists (select from reservations r where r.task_id = c.task_id))
 group by t.created_by;

-- user_quotas --
select 'user:' || name, role, coalesce(quota, '') from user_quotas;

-- may_miss --
-- Whether tasks after a place could come before those found up to it: there are some, of a priority over `over`. By the order
-- the index by priority is taken: by state all that waits would be read.
select (select true from tasks t
         where state = 'waiting' and priority > %(over)s
           and (accepted_at, partition, accepted_offset) > (%(accepted_at)s::timestamptz, %(partition)s, %(offset)s)
         order by priority desc limit 1) is not null;

-- take --
-- Claims for all tasks, reservations for those that may run now. An attempt number is never given twice: a claim's row
-- stays until the task is final. A token rises with every reservation, also over a failover: the timeline comes first.
with wanted as (
    select * from unnest(%(task_ids)s::uuid[], %(attempts)s::int[], %(attempt_ids)s::uuid[], %(partitions)s::int[])
        with ordinality as w (task_id, attempt, attempt_id, partition, place)
), claimed as (
    insert into claims as c (task_id, attempt, attempt_id, worker, instance_id, partition)
    select task_id, attempt, attempt_id, %(worker)s, %(instance_id)s, partition from wanted
        on conflict (task_id) do update
       set attempt = excluded.attempt, attempt_id = excluded.attempt_id, worker = excluded.worker,
           instance_id = excluded.instance_id, claimed_at = now(), released_at = null
     where c.released_at is not null and c.attempt < excluded.attempt
 returning c.task_id
), numbered as (
    select task_id, resource, exclusive,
           next_fencing_token() as number
      from unnest(%(users)s::uuid[], %(resources)s::text[], %(exclusives)s::boolean[])
           as u (task_id, resource, exclusive)
      join claimed using (task_id)
), reserved as (
    insert into reservations (task_id, resource, exclusive, token, slot)
    select task_id, resource, exclusive, number,
           case when exclusive then int8range(null, null) else int8range(number, number, '[]') end
      from numbered
 returning task_id, resource, token
)
select w.task_id, t.operation, t.arguments::text, t.correlation_id,
       array(select resource from reserved r where r.task_id = w.task_id order by token),
       array(select token from reserved r where r.task_id = w.task_id order by token)
  from wanted w
  join claimed using (task_id)
  join tasks t using (task_id)
 order by w.place;

-- standings --
-- What has become of the tasks that a worker has claimed.
select c.place, t.state, coalesce(t.attempt_id = c.attempt_id, false), h.task_id is not null
  from unnest(%(task_ids)s::uuid[], %(attempt_ids)s::uuid[]) with ordinality as c (task_id, attempt_id, place)
  join tasks t using (task_id)
  left join claims h on h.attempt_id = c.attempt_id and h.released_at is null;

-- end --
-- Let go of those tasks that are final. What such a task has reserved goes to its heir, if it has one: the next task, which
-- the same worker has claimed. Nobody comes in between. An heir's claim is locked, so that it cannot be swept away now.
-- What nobody inherits goes with the claim's row, which is told to those who may wait for it. Answers which tasks are not final,
-- and the tokens that heirs have then, also those from a first time. One statement: on it the next operation waits. Its
-- tables are read by arrays of keys, for a join alone may read all of one.
with parting as (
    select * from unnest(%(task_ids)s::uuid[], %(attempt_ids)s::uuid[], %(heirs)s::uuid[], %(heirs_attempt_ids)s::uuid[])
        as p (task_id, attempt_id, heir, heirs_attempt_id)
), ended as (
    select p.* from parting p join tasks t using (task_id)
     where t.task_id = any (%(task_ids)s::uuid[])
       and t.state not in ('waiting', 'running', 'cancelling')  -- `in` would have the index by state read
), held as (
    select task_id from claims
     where attempt_id = any (array(select heirs_attempt_id from ended)) and released_at is null
       for update
), moved as (
    update reservations r
       set task_id = e.heir,
           token = next_fencing_token()
      from ended e join held on held.task_id = e.heir
     where r.task_id = e.task_id and r.task_id = any (%(task_ids)s::uuid[])
 returning r.task_id, r.resource, r.token
), inherited as (
    select task_id, resource, token from moved
     union all
    select task_id, resource, token from reservations where task_id = any (array(select task_id from held))
), gone as (
    delete from claims where attempt_id = any (array(select attempt_id from ended))
 returning task_id
)
select array(select task_id from parting except select task_id from ended),
       array(select task_id from inherited order by token), array(select resource from inherited order by token),
       array(select token from inherited order by token),
       (select pg_notify('pulp_claims', '')
         where exists (select from reservations r join gone using (task_id)
                        where task_id not in (select e.task_id from ended e join held on held.task_id = e.heir))
            or exists (select from tasks where state = 'waiting' and depends_on <> '{}'
                        and depends_on && array(select task_id from gone)));

-- hand_on --
-- The same for tasks that have not ended, just before they are let go of.
with pairs as (
    select * from unnest(%(task_ids)s::uuid[], %(heirs)s::uuid[], %(heirs_attempt_ids)s::uuid[])
        as p (task_id, heir, heirs_attempt_id)
), held as (
    select task_id from claims
     where attempt_id in (select heirs_attempt_id from pairs) and released_at is null
       for update
), moved as (
    update reservations r
       set task_id = p.heir,
           token = next_fencing_token()
      from pairs p join held on held.task_id = p.heir
     where r.task_id = p.task_id
 returning r.task_id, r.resource, r.token
), inherited as (
    select task_id, resource, token from moved
     union all
    select r.task_id, r.resource, r.token from reservations r join held using (task_id)
)
select '{}'::uuid[],
       array(select task_id from inherited order by token), array(select resource from inherited order by token),
       array(select token from inherited order by token);

-- release --
-- Let go of tasks that have not ended: other attempts may come.
with let_go as (
    update claims set released_at = now() where attempt_id = any (%(attempt_ids)s::uuid[]) and released_at is null
 returning task_id
), freed as (
    delete from reservations where task_id in (select task_id from let_go)
)
select pg_notify('pulp_claims', '') where exists (select from let_go);

-- put_back --
-- Claims and reservations that a server which took over may lack, as they were.
with held as (
    select * from unnest(%(task_ids)s::uuid[], %(attempts)s::int[], %(attempt_ids)s::uuid[], %(partitions)s::int[])
        as h (task_id, attempt, attempt_id, partition)
), claimed as (
    insert into claims as c (task_id, attempt, attempt_id, worker, instance_id, partition)
    select task_id, attempt, attempt_id, %(worker)s, %(instance_id)s, partition from held
        on conflict (task_id) do update
       set attempt = excluded.attempt, attempt_id = excluded.attempt_id, worker = excluded.worker,
           instance_id = excluded.instance_id, released_at = null
     where c.attempt < excluded.attempt or c.attempt_id = excluded.attempt_id
 returning c.task_id
)
insert into reservations (task_id, resource, exclusive, token, slot)
select task_id, resource, exclusive, token,
       case when exclusive then int8range(null, null) else int8range(token, token, '[]') end
  from unnest(%(users)s::uuid[], %(resources)s::text[], %(exclusives)s::boolean[], %(tokens)s::bigint[])
       as u (task_id, resource, exclusive, token)
  join claimed using (task_id)
    on conflict do nothing;

-- held --
select attempt_id from claims where attempt_id = any (%(attempt_ids)s::uuid[]) and released_at is null;

-- positions --
select partition, next_offset from positions;

-- release_others --
-- Claims that this worker had let go of, and that came back with a server which lacks that.
with let_go as (
    update claims set released_at = now()
     where worker = %(worker)s and instance_id = %(instance_id)s and released_at is null
       and attempt_id <> all (%(attempt_ids)s::uuid[])
 returning task_id
), freed as (
    delete from reservations where task_id in (select task_id from let_go)
)
select pg_notify('pulp_claims', '') where exists (select from let_go);
