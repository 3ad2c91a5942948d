-- events --
-- The history of finished tasks of ten events each, a hundred side by side in each of four partitions. Their offsets are
-- below 0, so that the log and its positions go on at 0.
insert into generation_1.task_events
       (partition, record_offset, task_id, event_id, type, event_time, broker_time, actor, effect, event)
select p, o - %(tasks)s::bigint / 4 * 10, id,
       (lpad(to_hex(1700000000000 + k * 100 + step), 12, '0') || '7000a' || substr(md5(format('%%s %%s', k, step)), 1, 15))::uuid,
       format('org.pulpproject.task.%%s.v1', case step when 0 then 'accepted' when 1 then 'started' when 9 then 'finished'
                                           else 'progress' end),
       t, t, 'worker:bench', 'applied',
       convert_to(rpad(format('{"specversion":"1.0","id":"%%s","time":"%%s","data":{"sequence":%%s},"padding":"', id, t, step),
                       445, md5(o::text)) || '"}', 'UTF8')
  from generate_series(0, %(tasks)s::bigint / 4 * 10 - 1) as o, generate_series(0, 3) as p,
       lateral (select (o / 1000 * 100 + o %% 100) * 4 + p as k, o %% 1000 / 100 as step) as life,
       lateral (select (lpad(to_hex(1700000000000 + k * 100), 12, '0') || '7000a' || substr(md5(k::text), 1, 15))::uuid as id,
                       timestamptz '2023-11-14 22:13Z' + k * interval '100 ms' as t) as task;

-- tasks --
-- And the tasks.
insert into generation_1.tasks
       (task_id, state, operation, arguments, resources, exclusive_resources, shared_resources, tags, queue, priority,
        depends_on, created_by, accepted_at, updated_at, started_at, finished_at, partition, accepted_offset,
        last_offset, version, attempt, worker, cancellable, sequence, progress, result)
select task_id, 'successful', 'sync', '{"feed":"http://127.0.0.1/pulp/repos/zoo/"}',
       format('[{"type":"repository","id":"%%s","access":"exclusive"}]', repository)::json,
       array[format('repository:%%s', repository)], '{}',
       array[format('pulp:repository:%%s', repository), 'pulp:action:sync'],
       'default', 0, '{}', 'user:admin', first.broker_time, first.broker_time, first.broker_time, first.broker_time,
       partition, record_offset, record_offset + 900, 10, 1, 'bench-worker-1', true, 7,
       '{"sync":{"state":"IN_PROGRESS","items_total":4000,"items_left":3300}}', '{"packages":4000}'
  from generation_1.task_events as first,
       lateral (select format('repo-%%s', abs(hashtext(task_id::text)) %% 500) as repository) as named
 where type = 'org.pulpproject.task.accepted.v1'
 order by broker_time, partition;

-- counts --
insert into generation_1.task_counts
select partition, state, operation, count(*) from generation_1.tasks group by 1, 2, 3;

-- resources --
insert into generation_1.task_resources
select unnest(exclusive_resources), 'e', accepted_at, task_id from generation_1.tasks;

-- analyze --
vacuum (analyze) generation_1.tasks, generation_1.task_resources, generation_1.task_events;
