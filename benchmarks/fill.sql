-- indexes --
-- Indexes that are built again once the rows are there.
select indexname::text, indexdef from pg_indexes
 where schemaname = 'generation_1' and tablename in ('tasks', 'task_resources') and indexname <> 'tasks_pkey';

-- tasks --
-- Many finished tasks, three seconds apart, as the projector would have written them; ids in the order of time.
insert into generation_1.tasks
       (task_id, state, operation, arguments, resources, exclusive_resources, shared_resources, tags, queue, priority,
        depends_on, created_by, correlation_id, accepted_at, updated_at, started_at, finished_at, partition,
        accepted_offset, last_offset, version, attempt, worker, cancellable, sequence, progress, result, purged_at,
        purged_by)
select (lpad(to_hex((extract(epoch from t) * 1000)::bigint), 12, '0') || '7000' || '8' || left(md5(n::text), 15))::uuid,
       (array['successful', 'successful', 'successful', 'failed', 'cancelled'])[1 + n %% 5],
       (array['sync', 'publish', 'remove-orphans'])[1 + n %% 3],
       '{"repo_id":"zoo","feed":"http://127.0.0.1/pulp/repos/zoo/"}',
       format('[{"type":"repository","id":"repo-%%s","access":"exclusive"}]', n %% 500)::json,
       array[format('repository:repo-%%s', n %% 500)], '{}', array[format('pulp:repository:repo-%%s', n %% 500)],
       'default', 0, '{}', 'user:admin', md5(n::text), t, t + interval '2 seconds', t + interval '1 second',
       t + interval '2 seconds', n %% 4, n, n, 10, 1, 'bench-worker-1', true, 7,
       '{"sync":{"state":"FINISHED","items_total":4000,"items_left":0}}', '{"packages":4000}',
       case when n <= %(purged)s then t + interval '3 seconds' end, case when n <= %(purged)s then 'user:admin' end
  from generate_series(1, %(tasks)s) as n,
       lateral (select timestamptz '2026-01-01 00:00Z' + n * interval '3 seconds' as t);

-- counts --
insert into generation_1.task_counts
select partition, state, operation, count(*) from generation_1.tasks where purged_at is null group by 1, 2, 3
    on conflict (partition, state, operation) do update set tasks = excluded.tasks;

-- resources --
insert into generation_1.task_resources
select unnest(exclusive_resources), 'e', accepted_at, task_id from generation_1.tasks where worker = 'bench-worker-1';

-- history --
-- The rows left by a task that reports much progress.
insert into generation_1.task_events
       (partition, record_offset, task_id, event_id, type, event_time, broker_time, actor, effect, event)
select t.partition, 1000000000 + n, t.task_id, gen_random_uuid(), 'org.pulpproject.task.progress.v1', t.started_at,
       t.started_at, 'worker:bench-worker-1', 'applied',
       convert_to(format('{"specversion":"1.0","id":"%%s","source":"/pulp/worker/bench-worker-1",'
           '"type":"org.pulpproject.task.progress.v1","subject":"%%s","time":"2026-01-01T00:00:00Z",'
           '"actor":"worker:bench-worker-1","data":{"attempt_id":"%%s","sequence":%%s,"progress":'
           '{"sync":{"state":"IN_PROGRESS","items_total":10000,"items_left":%%s}}}}',
           gen_random_uuid(), t.task_id, t.task_id, n, 10000 - n), 'UTF8')
  from generation_1.tasks t, generate_series(1, %(events)s) as n
 where t.task_id = %(task_id)s;

-- version --
update generation_1.tasks set version = %(events)s where task_id = %(task_id)s;

-- analyze --
vacuum (analyze) generation_1.tasks, generation_1.task_resources;
