-- effective_events --
-- The events that made the tasks what they were, in log order; of progress events only the last, because each replaces
-- the one before. `version` counts all events. Events are read only at the end, since those of progress may be many and
-- large; its time limits the search for each to one part of the history.
with effective as (
    select e.task_id, e.partition, e.record_offset, e.broker_time, count(*) over w as version,
           e.type = %(progress)s
           and e.record_offset < max(e.record_offset) filter (where e.type = %(progress)s) over w as is_replaced
      from public.task_events e
     where e.task_id = any (%(task_ids)s::uuid[]) and e.effect = 'applied' and {before}
    window w as (partition by e.task_id)
)
select f.task_id, f.partition, f.record_offset, round(extract(epoch from broker_time) * 1000)::bigint, e.event, f.version
  from effective f
  join public.task_events e using (partition, record_offset, broker_time)
 where not f.is_replaced
 order by f.task_id, f.partition, f.record_offset;

-- failures --
 union all
select * from json_populate_recordset(null::public.task_events, %(past_failures)s::json)

-- children --
-- The tasks that had been accepted.
select t.task_id from tasks t
 where t.parent_id = %(task_id)s and t.purged_at is null and {before}
 order by t.accepted_at, t.task_id;

-- changed --
-- The tasks that had not ended then and have changed since: those that still have not ended, and those that have. The
-- index by time gives some more, and the offsets decide.
select t.task_id, t.partition, t.accepted_offset from public.tasks t
 where not public.is_final(t.state) and {accepted} and not ({unchanged})
 union all
select t.task_id, t.partition, t.accepted_offset from public.tasks t
 where public.is_final(t.state) and t.finished_at >= %(past_earliest)s
   and t.accepted_at <= %(past_latest)s
   and {accepted} and not ({unchanged})
   and (t.purged_at is null or {end} >= {stop})
 limit %(past_most)s

-- end --
-- The offset of the event that ended a task which was purged.
coalesce((select e.record_offset from public.task_events e
           where e.task_id = t.task_id and e.partition = t.partition and e.type = 'org.pulpproject.task.finished.v1' and e.effect = 'applied'
           order by e.record_offset desc limit 1),
         (select d.record_offset from public.detached_ends d where d.task_id = t.task_id))

-- world --
-- The tables as they were, by the names of those that show them as they are. Tasks that have not changed since are read
-- as they are, and tasks that were only purged since as they were before; the rest is folded. Tables without events
-- contain what follows from tasks: running tasks hold resources; all may run, without limits.
folded as materialized (
    select {task_changed}
      from json_to_recordset(%(past_folded)s::json) as c ({changing_types}) join public.tasks t using (task_id)),
unchanged as not materialized (
    select {task_names} from public.tasks t where t.accepted_at <= %(past_latest)s and {unchanged}),
unpurged as not materialized (
    select {task_before_purge} from public.tasks t cross join lateral (select {end} as record_offset) f
     where t.purged_at is not null and t.accepted_at <= %(past_latest)s and {accepted} and not ({unchanged})
       and f.record_offset < {stop}),
tasks as not materialized (
    select {task_names} from unchanged union all select {task_names} from unpurged union all select {task_names} from folded),
task_resources as not materialized (
    select r.* from public.task_resources r
     where exists (select from public.tasks t where t.task_id = r.task_id and {accepted})),
task_causes as not materialized (
    select k.* from public.task_causes k
     where exists (select from public.tasks t where t.task_id = k.task_id and {accepted})),
task_events as not materialized (select * from public.task_events e where {recorded}{failures}),
claims as (
    select task_id, task_id as hold_id, 1 as place, worker, started_at as claimed_at, null::timestamptz as released_at
      from tasks where not public.is_final(state) and attempt_id is not null),
reservations as (
    select c.hold_id, u.resource, u.exclusive, (extract(epoch from c.claimed_at) * 1000)::bigint as token
      from claims c join tasks t using (task_id)
     cross join lateral (select distinct unnest(t.exclusive_resources) as resource, true as exclusive
                          union
                         select s, false from unnest(t.shared_resources) s where s <> all (t.exclusive_resources)) u),
offers as (select distinct queue, operation, now() as seen_at from tasks where state = 'waiting'),
workers as (select * from public.workers where false),
dead_letters as (select * from public.dead_letters where false),
user_quotas as (select * from public.user_quotas where false)
