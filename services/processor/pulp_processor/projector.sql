-- locate --
-- Where the active generation is; one statement, so that both belong together.
select a.generation, p.next_offset
  from active_generation a, positions p
 where p.partition = %(partition)s;

-- share_generation --
-- Activation and rollback take this row exclusively: while a batch holds it, the generation stays.
select generation from active_generation for share;

-- relax_commit --
-- A position can never be ahead of its rows: after a crash both come back together, and Kafka has the rest.
set local synchronous_commit to off;

-- notify --
select pg_notify('pulp_positions', %(payload)s);
