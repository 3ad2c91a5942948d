-- claim_lock --
-- One claim at a time finds its tasks without a conflict; the constraints would refuse a conflict all the same.
select pg_advisory_xact_lock(7857012241);

-- candidates --
-- Waiting tasks that may run now, best first: no conflict with a held reservation or with an earlier waiting task.
-- Looks at the `window` earliest waiting tasks (all if null): what an early one conflicts with is among the early ones.
with waiting as materialized (
    select task_id, priority, queue, operation, accepted_at, partition, accepted_offset,
           exclusive_resources, shared_resources, depends_on
      from tasks where state = 'waiting'
     order by accepted_at, partition, accepted_offset
     limit %(window)s
), named as (
    select task_id, accepted_at, partition, accepted_offset, unnest(exclusive_resources) as resource, true as exclusive
      from waiting
     union all
    select task_id, accepted_at, partition, accepted_offset, unnest(shared_resources), false from waiting
), uses as (
    -- A task that names a resource twice does not wait for itself.
    select task_id, accepted_at, partition, accepted_offset, resource, bool_or(exclusive) as exclusive
      from named group by task_id, accepted_at, partition, accepted_offset, resource
), ranked as (
    select task_id, exclusive, row_number() over earlier as place,
           coalesce(bool_or(exclusive) over (earlier rows between unbounded preceding and 1 preceding), false)
               as after_exclusive
      from uses
    window earlier as (partition by resource order by accepted_at, partition, accepted_offset)
), blocked as (
    select task_id from ranked where after_exclusive or (exclusive and place > 1)
     union
    select u.task_id from uses u join reservations r using (resource) where u.exclusive or r.exclusive
)
select w.task_id, w.partition, w.operation, w.exclusive_resources, w.shared_resources, coalesce(c.attempt, 0) + 1,
       w.priority
  from waiting w
  left join claims c using (task_id)
 where w.queue = any (%(queues)s)
   and w.operation = any (%(operations)s)
   and (c.task_id is null or c.released_at is not null)
   and not exists (select from blocked b where b.task_id = w.task_id)
   and not exists (
        select from unnest(w.depends_on) as d (task_id)
         where not exists (select from tasks s where s.task_id = d.task_id and s.state = 'successful'))
 order by w.priority desc, w.accepted_at, w.partition, w.accepted_offset
 limit %(most)s;

-- may_miss --
-- Whether tasks after the window could come before those found in it: there are some, of a priority over `over`.
select exists (
    select from tasks t
     where t.state = 'waiting' and t.priority > %(over)s
       and (t.accepted_at, t.partition, t.accepted_offset) > (
           select e.accepted_at, e.partition, e.accepted_offset from tasks e where e.state = 'waiting'
            order by e.accepted_at, e.partition, e.accepted_offset
            offset %(window)s - 1 limit 1));

-- claim --
-- An attempt number is never given twice: the row stays until the task is final.
insert into claims as c (task_id, attempt, attempt_id, worker, instance_id, partition)
values (%(task_id)s, %(attempt)s, %(attempt_id)s, %(worker)s, %(instance_id)s, %(partition)s)
on conflict (task_id) do update
   set attempt = excluded.attempt, attempt_id = excluded.attempt_id, worker = excluded.worker,
       instance_id = excluded.instance_id, claimed_at = now(), released_at = null
 where c.released_at is not null and c.attempt < excluded.attempt
returning task_id;

-- details --
select arguments::text, correlation_id from tasks where task_id = %(task_id)s;

-- reserve --
-- The token rises with every reservation, also over a failover: the timeline comes first.
insert into reservations (task_id, resource, exclusive, token, slot)
select %(task_id)s, resource, exclusive, number,
       case when exclusive then int8range(null, null) else int8range(number, number, '[]') end
  from (select resource, exclusive,
               (('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint << 40)
               + nextval('fencing_tokens') as number
          from (select unnest(%(exclusive)s::text[]) as resource, true as exclusive
                 union all
                select unnest(%(shared)s::text[]), false) named) numbered
returning resource, token;

-- is_current --
-- Whether an attempt may run: it is the task's, and its claim is still held.
select t.state
  from tasks t join claims c using (task_id)
 where t.task_id = %(task_id)s and t.attempt_id = %(attempt_id)s
   and c.attempt_id = %(attempt_id)s and c.released_at is null;

-- own_tasks --
-- What has become of the tasks that a worker runs.
select task_id, state, attempt_id from tasks where task_id = any (%(task_ids)s);

-- release --
-- Let go of a task that has not ended: another attempt may come.
with let_go as (
    update claims set released_at = now() where attempt_id = %(attempt_id)s and released_at is null returning task_id
)
delete from reservations where task_id in (select task_id from let_go);

-- forget --
-- Let go of a task that has ended: its reservations go with the row.
delete from claims where attempt_id = %(attempt_id)s;

-- notify --
select pg_notify('pulp_claims', '');
