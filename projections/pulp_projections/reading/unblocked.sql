-- unblocked_at --
-- When the task `t` needed only a free worker: the end of the last of everything that it had to wait for, or its
-- acceptance; for a further attempt, no earlier than that could begin. Null while something stops it, or if something
-- did until it ended without having started.
(case when t.state = 'waiting'
           and exists (select from dead_letters p
                        where p.task_id = t.task_id and p.partition = t.partition and p.standing = 'parks')
      then null
      when t.depends_on = '{{}}' and t.exclusive_resources = '{{}}' and t.shared_resources = '{{}}' and t.failed_attempts = 0
      then t.accepted_at
      else (select case when bool_or(b.is_open) then null
                        else least(t.started_at, greatest(t.accepted_at, max(b.ended_at))) end
              from ({dependencies} union all {on_resources} union all {backing_off}) b) end)

-- backing_off --
-- The wait for the last further attempt. The task forgets it when the attempt begins, so it is read from the event of
-- the last failed attempt, and kept within the bounds that the state machine applies.
select r.retry_at as ended_at,
       t.started_at is null and r.retry_at > least({waited_until}, now()) as is_open
  from (select case when t.retry_at is not null then t.retry_at
                    else (select least(greatest(date_trunc('milliseconds', (e.told -> 'data' ->> 'retry_at')::timestamptz),
                                                e.broker_time),
                                       e.broker_time + make_interval(
                                           secs => coalesce((t.retry ->> 'max_backoff_seconds')::float8, 0)))
                            from (select broker_time, convert_from(event, 'UTF8')::json as told
                                    from task_events
                                   where task_id = t.task_id and type = 'org.pulpproject.task.attempt-failed.v1' and effect = 'applied'
                                   order by partition desc, record_offset desc
                                   limit 1) e) end as retry_at) r
 where t.failed_attempts > 0

-- dependencies --
select s.finished_at as ended_at,
       t.started_at is null and (s.state is distinct from 'successful' or s.finished_at > {waited_until}) as is_open
  from unnest(t.depends_on) d (task_id)
  left join tasks s on s.task_id = d.task_id

-- on_resources --
-- From the task back through the exclusive uses of each resource, until one that has started: everything before it that
-- conflicts with it had ended by then. If the task's own use is exclusive, also the shared uses since. Tasks that ended
-- after this one began were passed over. At most 250 exclusive uses and 1,000 shared ones are read.
select b.ended_at, b.is_open
  from (select resource, bool_or(is_exclusive) as is_exclusive
          from (select unnest(t.exclusive_resources) as resource, true as is_exclusive
                 union all
                select unnest(t.shared_resources), false) a
         group by resource) u
 cross join lateral (
       with recursive walk as (
           (select n.*, 1 as step
              from (select null::timestamptz as wall_at) w, lateral ({first}) n)
            union all
           (select n.*, w.step + 1
              from walk w, lateral ({next}) n
             where not w.is_open and w.step < 250))
       select ended_at, is_open from walk
        union all
       select {ended_at}, {is_open}
         from (select task_id from task_resources
                where u.is_exclusive and resource = u.resource and access = 's' and accepted_at <= t.accepted_at
                  and accepted_at >= coalesce((select max(wall_at) from walk), '-infinity')
                order by accepted_at desc
                limit 1000) k
         join tasks s on s.task_id = k.task_id
        where {is_before}
        union all
       select null, true
         from reservations v
        where t.state = 'waiting' and v.resource = u.resource and (v.exclusive or u.is_exclusive)
          and not exists (select from claims c
                           where c.task_id = t.task_id and c.hold_id = v.hold_id and c.released_at is null)) b

-- earlier --
-- The last exclusive use of the resource before the task, or before that of `w`, if it is not before the one at which the walk ends.
select k.accepted_at, k.task_id,
       coalesce(w.wall_at, case when s.started_at is not null and s.finished_at is not null and {is_before}
                                then k.accepted_at end) as wall_at,
       {ended_at} as ended_at, {is_open} as is_open
  from (select accepted_at, task_id from task_resources
         where resource = u.resource and access = 'e' and {bounds}
         order by accepted_at desc, task_id desc
         limit 1) k
  join tasks s on s.task_id = k.task_id

-- first_bounds --
accepted_at <= t.accepted_at

-- next_bounds --
(accepted_at, task_id) < (w.accepted_at, w.task_id) and accepted_at >= coalesce(w.wall_at, '-infinity')

-- is_before --
(s.accepted_at, s.partition, s.accepted_offset) < (t.accepted_at, t.partition, t.accepted_offset)

-- left_at --
-- When the task `s` stopped holding back those behind it: at its end, or when it was cancelled before its start; or
-- when its last attempt failed, while it waits for the next one, since nothing has happened to it since.
case when s.started_at is not null then s.finished_at
     when s.retry_at > now() then s.updated_at
     else coalesce(s.cancel_requested_at, s.finished_at) end

-- waited_until --
-- Until when a task that has not started could have.
coalesce(t.cancel_requested_at, t.finished_at, 'infinity')

-- was_passed_over --
-- Whether nobody could run `s` for `unserved_s`, from its acceptance or from an unknown later time on: it did not begin
-- before `t`, and nothing else can be the reason why others did not wait for it.
(s.depends_on = '{{}}' and s.failed_attempts = 0 and (s.started_at is null or s.started_at > t.started_at)
    and not exists (select from dead_letters p
                     where p.task_id = s.task_id and p.partition = s.partition and p.standing = 'parks')
    and not exists (select from task_events e
                     where e.task_id = s.task_id and e.type = 'org.pulpproject.task.unparked.v1'))

-- ended_at --
-- When `s` stopped holding `t` back. If it was passed over, the earliest time at which it could be.
case when not {is_before} then null
     when t.started_at is null and {left_at} is not null or {left_at} <= t.started_at then {left_at}
     when {was_passed_over} then s.accepted_at + make_interval(secs => %(unserved_s)s) end

-- is_open --
(t.started_at is null and {is_before} and ({left_at} is null or {left_at} > {waited_until}) and not {aside})

-- times --
select t.task_id, {unblocked_at} from tasks t where t.task_id = any (%(task_ids)s)

-- longest --
-- How long the longest runnable task has been runnable, in seconds. Only the oldest waiting tasks that are not assigned
-- are examined, as the time is computed for each. Those above the limit of their user do not count, as for `queues`.
with {live},
rooms as materialized (select key as created_by, value::bigint as room from json_each_text(%(rooms)s)),
able as (
    select w.*, r.room,
           row_number() over (partition by w.created_by
                              order by w.is_served desc, w.priority desc, w.accepted_at, w.partition, w.accepted_offset) as number
      from (select o.*, {can_run} as is_served
              from (select t.queue, t.operation, t.created_by, t.priority, t.accepted_at, t.partition, t.accepted_offset,
                           {unblocked_at} as unblocked_at
                      from (select * from tasks
                             where state = 'waiting'
                               and created_by not in (select created_by from rooms where room = 0)
                               and not exists (select from claims c where c.task_id = tasks.task_id and c.released_at is null)
                               and not exists (select from dead_letters p
                                                where p.task_id = tasks.task_id and p.partition = tasks.partition and p.standing = 'parks')
                             order by accepted_at, partition, accepted_offset
                             limit %(most)s) t) o
             where unblocked_at is not null) w
      left join rooms r using (created_by))
select extract(epoch from now() - min(unblocked_at))::float8 from able where room is null or number <= room
