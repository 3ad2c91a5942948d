-- page --
-- A page beside what is told of the whole, in one statement: all of it is of one moment. A page without a task is one row.
select m.shown, m.matches, t.*
  from (select (select string_agg(partition || ':' || next_offset, ',') from positions) as shown,
               ({count}) as matches) m
  left join ({tasks}) t on true
 order by {order}

-- counters --
-- Of conditions on state and operation only.
select coalesce(sum(t.tasks), 0)::bigint from task_counts t{where}

-- up_to --
select count(*) from (select from {source}{where} limit %(most)s) counted

-- not_at_all --
null::bigint

-- estimate --
explain (format json) select from {source}{where}
