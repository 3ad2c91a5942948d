-- workers --
-- A page of workers, youngest first, and how many there are in all. `current_tasks` are those that take a slot: what
-- follows another task on the same resources in a chain has a claim too, but no slot and no reservation before its turn.
select w.name, w.instance_id, w.host, w.pid, w.queues, w.operations, w.concurrency, w.versions, w.started_at,
       w.heartbeat_at, w.stopped_at, w.online,
       array(select c.task_id from claims c left join tasks t using (task_id)
              where c.worker = w.name and c.instance_id = w.instance_id and c.released_at is null and {takes_a_slot}
              order by c.claimed_at, c.task_id) as current_tasks
  from (select * from {registered} w where {where} order by started_at desc, name limit %(limit)s offset %(skip)s) w
 order by w.started_at desc, w.name

-- count --
select count(*) from {registered} w where {where}

-- registered --
(select *, stopped_at is null and heartbeat_at + make_interval(secs => lease_seconds) > now() as online from workers)

-- takes_a_slot --
(t.state is distinct from 'waiting' or t.exclusive_resources = '{}' and t.shared_resources = '{}'
 or exists (select from reservations r where r.task_id = c.task_id))

-- slots --
select count(*), coalesce(sum(w.concurrency), 0)::bigint, coalesce(sum(greatest(w.concurrency - busy.slots, 0)), 0)::bigint
  from {registered} w
 cross join lateral (
       select count(*) as slots from claims c left join tasks t using (task_id)
        where c.worker = w.name and c.instance_id = w.instance_id and c.released_at is null and {takes_a_slot}
       ) busy
 where w.online

-- unserved_queues --
-- Of the tasks that have waited longest (so many are looked at) those in queues that no live worker serves.
select queue, count(*)
  from (select queue from tasks where state = 'waiting' order by accepted_at, task_id limit %(most)s) t
 where queue not in (select unnest(queues) from {registered} w where online)
 group by queue
 order by queue

-- offers --
select distinct queue, operation from offers
