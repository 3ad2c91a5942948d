-- page --
-- Tasks, and beside each what is told of the whole, which is read once: all of it is of one moment.
select {whole}, {tasks}

-- empty --
-- The same of a page without a task, which is one row then. If there are tasks meanwhile, they are read as well.
select w.*, t.* from (select {whole}) w left join (select {tasks}) t on true order by {order}

-- whole --
(select string_agg(partition || ':' || next_offset, ',') from positions) as shown, ({count}) as matches

-- counters --
-- Of conditions on state and operation only.
select coalesce(sum(t.tasks), 0)::bigint from task_counts t{where}

-- up_to --
select count(*) from (select from {source}{where} limit %(most)s) counted

-- not_at_all --
null::bigint

-- estimate --
explain (format json) select from {source}{where}
