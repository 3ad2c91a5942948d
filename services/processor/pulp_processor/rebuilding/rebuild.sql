-- generations --
select generation, status, created_at, activated_at, indexed_at, verified_at, accepted, ends
  from generations
 order by generation;

-- add --
insert into generations (generation, status, ends)
select max(generation) + 1, %(status)s, %(ends)s from generations
returning generation;

-- set_indexed --
update generations set indexed_at = now() where generation = %(generation)s;

-- set_ready --
update generations set status = 'ready' where generation = %(generation)s and status = 'building';

-- set_verified --
update generations set verified_at = now(), accepted = %(accepted)s where generation = %(generation)s;

-- set_unverified --
update generations set verified_at = null, accepted = null where generation = %(generation)s;

-- remove --
delete from generations where generation = %(generation)s and status <> 'active' returning generation;

-- interrupt --
-- Cancels the statements that are filling the generation: dropping it needs the locks that they hold.
select pg_cancel_backend(pid)
  from pg_stat_activity
 where datname = current_database() and application_name = %(name)s and pid <> pg_backend_pid();

-- disconnect --
-- The same for a process that was suspended inside a transaction: it runs no statement that could be cancelled.
select pg_terminate_backend(pid)
  from pg_stat_activity
 where datname = current_database() and application_name = %(name)s and pid <> pg_backend_pid();

-- enter --
-- The first statement of every batch of a rebuild: while it locks this row, its generation is neither dropped nor made
-- active. The commit need not be flushed, since a position is never ahead of its rows. A rebuild notifies nobody.
select set_config('search_path', %(schema)s, true), set_config('synchronous_commit', 'off', true),
       set_config('application_name', %(name)s, true)
  from generations
 where generation = %(generation)s and status <> 'active'
   for share;

-- block_batches --
-- Every batch of the live projection locks the row of this table, shared. This lock on the table waits for those batches
-- and blocks later ones; an exclusive lock on the row would starve.
lock table active_generation in exclusive mode;

-- switch --
with named as (
    update active_generation set generation = %(generation)s
)
update generations
   set status = case when generation = %(generation)s then 'active' else 'retired' end,
       activated_at = case when generation = %(generation)s then now() else activated_at end
 where generation = %(generation)s or status = 'active';

-- notify_readers --
-- Tells readers the positions of the generation that they see from now on.
select pg_notify('pulp_positions', %(generation)s || ' ' || partition || ' ' || next_offset) from public.positions;

-- copy_sent_flags --
-- A dead letter counts as sent if the old generation sent it. Past the old position none does. A record that the old
-- generation projected as an event counts as sent: a rebuild sends nothing.
with flags as (
    select d.partition, d.record_offset, coalesce(o.sent, d.record_offset < p.next_offset) as sent
      from {new}.dead_letters d
      join {old}.positions p using (partition)
      left join {old}.dead_letters o using (partition, record_offset)
)
update {new}.dead_letters d
   set sent = s.sent
  from flags s
 where d.partition = s.partition and d.record_offset = s.record_offset and d.sent <> s.sent;
