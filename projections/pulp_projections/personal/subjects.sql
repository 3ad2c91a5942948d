-- make_index --
insert into subject_index (key, master) values (%(key)s, %(master)s) on conflict do nothing;

-- index --
select key, master from subject_index;

-- lock_index --
select key, master from subject_index for update;

-- rewrap_index --
update subject_index set key = %(key)s, master = %(master)s;

-- all_keys --
select key_id, key, master from subjects where key is not null order by key_id for update;

-- rewrap --
update subjects set key = %(key)s, master = %(master)s where key_id = %(key_id)s and key is not null;

-- living --
select key_id, key, master from subjects where name_hash = %(name_hash)s and key is not null;

-- make --
-- The lock on the index, and its master key, keep a rewrapping from missing this key. No row: try again.
with held as (select master from subject_index for share)
insert into subjects (key_id, name_hash, key, master)
select %(key_id)s, %(name_hash)s, %(key)s, %(master)s from held where master is not distinct from %(master)s
on conflict (name_hash) where key is not null do nothing;

-- name_hash --
select name_hash from subjects where key_id = %(key_id)s;

-- use --
insert into subject_uses (key_id, holder_id) values (%(key_id)s, %(holder_id)s) on conflict do nothing;

-- keys --
select key_id, key, master from subjects where key_id = any (%(key_ids)s);

-- subjects --
-- Newest first; the tasks are those that the read model has.
select s.key_id, s.created_at, s.erased_at, s.erased_by, s.reason, s.event_id, s.told_at is not null as is_told,
       coalesce(s.tasks, c.tasks), coalesce(s.unfinished, c.unfinished), c.unfinished,
       s.address, s.method, s.correlation_id
  from subjects s
 cross join lateral (
    select count(t.task_id) as tasks, count(t.task_id) filter (where not is_final(t.state)) as unfinished
      from subject_uses u
      left join lateral (select task_id, state from tasks where task_id = u.holder_id limit 1) t on true
     where u.key_id = s.key_id
 ) c
 where (%(key_id)s::uuid is null or s.key_id = %(key_id)s)
   and (%(name_hashes)s::bytea[] is null or s.name_hash = any(%(name_hashes)s))
   and (%(erased)s::boolean is null or (s.key is null) = %(erased)s)
 order by s.created_at desc, s.key_id desc
 limit %(limit)s offset %(offset)s;

-- count --
select count(*) from subjects where %(erased)s::boolean is null or (key is null) = %(erased)s;

-- lock --
select from subjects where key_id = %(key_id)s for update;

-- erase --
update subjects
   set key = null, master = null, erased_at = now(), erased_by = %(by)s, reason = %(reason)s, event_id = %(event_id)s,
       tasks = %(tasks)s, unfinished = %(unfinished)s, address = %(address)s, method = %(method)s,
       correlation_id = %(correlation_id)s
 where key_id = %(key_id)s and key is not null;

-- to_tell --
-- One at a time, and for one process only, so each erasure is reported once, except after a crash right after the
-- report.
select key_id from subjects where erased_at is not null and told_at is null
 order by erased_at limit 1 for update skip locked;

-- told --
update subjects set told_at = now() where key_id = %(key_id)s;

-- destroy_again --
-- A database restored from a backup has keys that were destroyed since.
update subjects
   set key = null, master = null, erased_at = %(erased_at)s, erased_by = %(by)s, reason = %(reason)s,
       event_id = %(event_id)s, tasks = null, unfinished = null, told_at = now()
 where key_id = %(key_id)s and key is not null;
