-- look --
-- In JSON: the server's timeline, the projection's positions, the status of some claims, and what is assigned to this
-- worker in holds that it does not know, all from one snapshot. `limit` and `offset` keep each lateral query a look-up by
-- key: the planner might turn a join into a read of a whole table, since its statistics are from when the queue was
-- empty. So a plan stays good as long as its connection lives.
with known as (
    select * from unnest(%(task_ids)s::uuid[], %(attempt_ids)s::uuid[], %(attempts)s::int[]) as k (task_id, attempt_id, attempt)
), known_now as (
    select k.attempt_id, t.state, t.attempt_id = k.attempt_id as is_current,
           c.attempt_id is not null and c.released_at is null as is_held,
           t.attempt >= k.attempt and t.attempt_id is distinct from k.attempt_id as is_past
      from known k
     cross join lateral (select state, attempt, attempt_id from tasks where task_id = k.task_id limit 1) t
      left join lateral (select attempt_id, released_at from claims where attempt_id = k.attempt_id limit 1) c on true
), assigned as (
    select c.*, t.operation, t.arguments, t.correlation_id, t.exclusive_resources, t.retry, t.failed_attempts,
           t.accepted_at + make_interval(secs => t.deadline_seconds) as deadline,
           array(select resource from unnest(t.exclusive_resources || t.shared_resources) as r (resource)
                  group by resource order by resource collate "C") as resources
      from (select hold_id from holds
             where worker = %(worker)s and instance_id = %(instance_id)s and hold_id <> all (%(hold_ids)s::uuid[])
            offset 0) h
     cross join lateral (select * from claims where hold_id = h.hold_id and released_at is null offset 0) c
     cross join lateral (select * from tasks where task_id = c.task_id limit 1) t
)
select json_build_array(
           timeline(),
           (select coalesce(json_object_agg(partition, next_offset), '{}') from positions),
           (select coalesce(json_agg(json_build_array(
                        attempt_id, json_build_array(state, coalesce(is_current, false), is_held, is_past))), '[]')
              from known_now),
           (select coalesce(json_agg(json_build_array(
                        task_id, partition, operation, arguments::text, correlation_id, attempt, attempt_id, hold_id,
                        place, resources, tokens, exclusive_resources, retry, failed_attempts, deadline, traceparent)), '[]')
              from assigned))::text;

-- end --
-- End the claims of final tasks, and notify the dispatcher. Returns the attempts whose tasks are not final.
with ending as (
    select * from unnest(%(task_ids)s::uuid[], %(attempt_ids)s::uuid[]) as e (task_id, attempt_id)
), final as (
    select e.attempt_id from ending e
     cross join lateral (select state from tasks where task_id = e.task_id limit 1) t  -- by key, as above
     where is_final(t.state)
), gone as (
    delete from claims where attempt_id = any (array(select attempt_id from final)) returning hold_id
)
select array(select attempt_id from ending except select attempt_id from final),
       (select pg_notify('pulp_dispatch', string_agg(distinct hold_id::text, ' ')) from gone having count(hold_id) > 0);

-- release --
-- Release the claims of unfinished tasks, and notify the dispatcher: other attempts may come.
with released as (
    update claims set released_at = now() where attempt_id = any (%(attempt_ids)s::uuid[]) and released_at is null
 returning hold_id
)
select pg_notify('pulp_dispatch', string_agg(distinct hold_id::text, ' ')) from released having count(*) > 0;

-- see_timeline --
insert into timelines values (timeline()) on conflict do nothing;

-- release_others --
-- Release every claim of this process that it does not know, and notify the dispatcher.
with released as (
    update claims set released_at = now()
     where worker = %(worker)s and instance_id = %(instance_id)s and released_at is null
       and attempt_id <> all (%(attempt_ids)s::uuid[])
 returning hold_id
)
select pg_notify('pulp_dispatch', hold_id::text) from released group by hold_id;

-- delete_other_holds --
-- Holds that came back with a server that took over, although this process no longer uses them.
delete from holds
 where worker = %(worker)s and instance_id = %(instance_id)s and hold_id <> all (%(hold_ids)s::uuid[]);

-- put_back --
-- Holds, claims and reservations that a server that took over may lack, as they were.
with held as (
    select * from unnest(%(task_ids)s::uuid[], %(attempts)s::int[], %(attempt_ids)s::uuid[], %(partitions)s::int[],
                         %(hold_ids)s::uuid[], %(places)s::int[], %(tokens)s::text[])
        as h (task_id, attempt, attempt_id, partition, hold_id, place, tokens)
), slots as (
    insert into holds (hold_id, worker, instance_id)
    select distinct hold_id, %(worker)s, %(instance_id)s::uuid from held
        on conflict do nothing
), claimed as (
    insert into claims as c (task_id, attempt, attempt_id, worker, instance_id, partition, hold_id, place, tokens)
    select task_id, attempt, attempt_id, %(worker)s, %(instance_id)s, partition, hold_id, place, tokens::bigint[] from held
        on conflict (task_id) do update
       set attempt = excluded.attempt, attempt_id = excluded.attempt_id, worker = excluded.worker,
           instance_id = excluded.instance_id, partition = excluded.partition, hold_id = excluded.hold_id,
           place = excluded.place, tokens = excluded.tokens, released_at = null
     where c.attempt < excluded.attempt or c.attempt_id = excluded.attempt_id
)
insert into reservations (hold_id, resource, exclusive, token, slot)
select hold_id, resource, exclusive, token,
       case when exclusive then int8range(null, null) else int8range(token, token, '[]') end
  from unnest(%(reserving)s::uuid[], %(resources)s::text[], %(exclusives)s::boolean[], %(reserved)s::bigint[])
       as r (hold_id, resource, exclusive, token)
    on conflict do nothing;

-- held --
-- The attempts whose claims are held, with all their resources reserved.
select c.attempt_id
  from claims c
 where c.attempt_id = any (%(attempt_ids)s::uuid[]) and c.released_at is null
   and cardinality(c.tokens) = (select count(*) from reservations r where r.hold_id = c.hold_id);
