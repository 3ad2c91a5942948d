-- tasks --
-- Many finished tasks, some seconds apart, as the projector would have written them.
insert into generation_1.tasks
       (task_id, state, operation, arguments, resources, exclusive_resources, shared_resources, tags, queue, priority,
        depends_on, created_by, accepted_at, updated_at, started_at, finished_at, partition, accepted_offset,
        last_offset, version, attempt, worker, cancellable, sequence, progress, result)
select md5(n::text)::uuid, (array['successful', 'successful', 'successful', 'failed', 'cancelled'])[1 + n %% 5],
       (array['sync', 'publish', 'remove-orphans'])[1 + n %% 3],
       '{"repo_id":"zoo","feed":"http://127.0.0.1/pulp/repos/zoo/"}',
       format('[{"type":"repository","id":"repo-%%s","access":"exclusive"}]', n %% 500)::json,
       array[format('repository:repo-%%s', n %% 500)], '{}', array[format('pulp:repository:repo-%%s', n %% 500)],
       'default', 0, '{}', 'user:admin', t, t, t, t, n %% 4, n, n, 10, 1, 'bench-worker-1', true, 7,
       '{"sync":{"state":"FINISHED","items_total":4000,"items_left":0}}', '{"packages":4000}'
  from generate_series(1, %(tasks)s) as n,
       lateral (select timestamptz '2026-01-01 00:00Z' + n * interval '3 seconds' as t);

-- counts --
insert into generation_1.task_counts
select partition, state, operation, count(*) from generation_1.tasks group by 1, 2, 3;

-- analyze --
vacuum analyze generation_1.tasks;
