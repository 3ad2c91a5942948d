-- workers --
-- A page of workers. The current task of a hold is its first one that is not released.
select w.name, w.instance_id, w.host, w.pid, w.queues, w.operations, w.concurrency, w.versions, w.started_at,
       w.heartbeat_at, w.stopped_at, w.online, w.draining, {holds} as holds,
       array(select c.task_id
               from holds h
              cross join lateral (select task_id, claimed_at from claims
                                   where hold_id = h.hold_id and released_at is null order by place limit 1) c
              where h.worker = w.name and h.instance_id = w.instance_id
              order by c.claimed_at, c.task_id) as current_tasks
  from (select * from {registered} w where {where} order by {order} limit %(limit)s offset %(skip)s) w
 order by {order}

-- count --
select count(*) from {registered} w where {where}

-- registered --
(select *, stopped_at is null and heartbeat_at + make_interval(secs => lease_seconds) > now() as online from workers)

-- holds --
-- The slots of the worker `w` that are in use.
(select count(*) from holds h where h.worker = w.name and h.instance_id = w.instance_id)

-- slots --
-- Nothing is assigned to a draining worker: none of its slots is free.
select count(*), coalesce(sum(w.concurrency), 0)::bigint,
       coalesce(sum(greatest(w.concurrency - {holds}, 0)) filter (where not w.draining), 0)::bigint
  from {registered} w
 where w.online

-- unserved --
-- Counts, among the tasks that have waited longest and are not assigned, those that no live worker can run: in queues
-- that no worker serves (the operation is null), and for operations that no worker of the queue offers. With the last
-- worker that could run them, and until when it was there.
with live as (select queues, operations from {registered} w where online and not draining),
waiting as (
    select queue, operation, count(*) as tasks
      from (select queue, operation from tasks w where state = 'waiting' and purged_at is null
               and not exists (select from claims c where c.task_id = w.task_id and c.released_at is null)
             order by accepted_at, task_id limit %(most)s) t
     group by queue, operation),
unserved as (
    select queue, case when exists (select from live where queue = any (queues)) then operation end as operation,
           sum(tasks)::bigint as tasks
      from waiting t
     where not exists (select from live where t.queue = any (queues)
                                           and (operations is null or t.operation = any (operations)))
     group by 1, 2)
select u.queue, u.operation, u.tasks, l.name, l.until
  from unserved u
  left join lateral (
       select w.name, coalesce(w.stopped_at, w.heartbeat_at) as until from workers w
        where u.queue = any (w.queues)
          and (u.operation is null or w.operations is null or u.operation = any (w.operations))
        order by 2 desc
        limit 1) l on true
 order by u.queue, u.operation

-- dispatcher --
-- Whether one is elected, and whether that one assigns nothing yet.
select coalesce(bool_or(renewed_at > now() - make_interval(secs => %(dispatcher_s)s)), false),
       coalesce(bool_or(settling_epoch = epoch), false)
  from dispatcher

-- offers --
select distinct queue, operation from offers
