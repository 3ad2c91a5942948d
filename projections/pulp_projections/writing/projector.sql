-- locate --
-- Where the active generation is; one statement, so that both belong together. By the view in public: the search path
-- may still name the tables of another generation.
select a.generation, p.next_offset
  from active_generation a, public.positions p
 where p.partition = %(partition)s;

-- enter --
-- The start of every batch. Activation and rollback take this row exclusively: while a batch holds it, the generation
-- stays. Readers hear of the new position at the commit. It need not be flushed: a position can never be ahead of its
-- rows, so after a crash both come back together, and Kafka has the rest.
select generation, set_config('search_path', %(schema)s, true), set_config('synchronous_commit', 'off', true),
       pg_notify('pulp_positions', %(payload)s)
  from active_generation
   for share;

-- wake_workers --
select pg_notify('pulp_claims', '');
