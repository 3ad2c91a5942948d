-- page --
-- Tasks, and in each row the positions and the number of matches, which are read once. All of it is from one moment.
select {whole}, {tasks}

-- empty --
-- The same for a page without tasks: one row. Tasks that have arrived meanwhile are read as well, in the order of the
-- subselect: the join has one row on its left side. Its columns are read already, so the order's expressions do not fit
-- them.
select w.*, t.* from (select {whole}) w left join (select {tasks}) t on true

-- whole --
(select json_object_agg(partition, next_offset)::text from positions) as shown, ({count}) as matches

-- counters --
-- For conditions on state and operation only.
select coalesce(sum(t.tasks), 0)::bigint from task_counts t{where}

-- up_to --
select count(*) from (select from {source}{where} limit %(most)s) counted

-- not_at_all --
null::bigint

-- estimate --
explain (format json) select from {source}{where}
