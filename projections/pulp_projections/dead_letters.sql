-- list --
-- Those that wait are left out, unless all records of one task are wanted.
select {columns}
  from dead_letters d
 where (d.partition, d.record_offset) > (%(partition)s, %(offset)s)
   and (d.standing <> 'waits' or d.task_id = %(task_id)s::uuid)
   and (%(task_id)s::uuid is null or d.task_id = %(task_id)s::uuid)
 order by d.partition, d.record_offset
 limit %(limit)s;

-- columns --
d.partition, d.record_offset, d.broker_time, d.reason, d.key, d.value, d.headers, d.sent, d.task_id, d.standing,
{behind} as behind,
case when d.standing = 'waits' then
     (select p.record_offset from dead_letters p
       where p.partition = d.partition and p.task_id = d.task_id and p.standing = 'parks') end as parked_by

-- behind --
-- How many records wait behind the one that parks its task.
case when d.standing = 'parks' then
     (select count(*) from dead_letters w
       where w.partition = d.partition and w.task_id = d.task_id and w.standing = 'waits') else 0 end

-- one --
select {columns}
  from dead_letters d
 where d.partition = %(partition)s and d.record_offset = %(offset)s;

-- wanted --
-- Records that wait are listed only if one task, or that record itself, is requested.
d.standing = any (%(standings)s::text[])
   and (%(task_id)s::uuid is null or d.task_id = %(task_id)s::uuid)
   and (%(partition)s::integer is null or d.partition = %(partition)s::integer)

-- page --
-- Newest first, without their contents.
select d.partition, d.record_offset, d.broker_time, d.reason, octet_length(d.value) as size_bytes, d.sent, d.standing,
       d.task_id, {behind} as behind
  from dead_letters d
 where {wanted}
 order by d.broker_time desc, d.partition, d.record_offset desc
 limit %(limit)s offset %(skip)s;

-- count --
select count(*) from dead_letters d where {wanted};
