-- locate --
-- The active generation and a position in it, in one statement, so that they belong together. Read from the view in
-- public: the search path may still name the tables of another generation.
select a.generation, p.next_offset, p.heals
  from active_generation a, public.positions p
 where p.partition = %(partition)s;

-- prepare --
-- For the connection: the tables of the generation. A commit need not be flushed: a position is never ahead of its rows, so
-- after a crash both come back together, and Kafka has the rest. Tasks are looked up by key: a plan kept from when
-- there were few would read all of them for every batch.
select set_config('search_path', %(schema)s || ', public', false), set_config('synchronous_commit', 'off', false),
       set_config('enable_seqscan', 'off', false);

-- fence --
-- No row means that the position is not the expected one: another processor owns the partition, or a task was healed
-- meanwhile, and the projector's cached tasks may be wrong.
update positions set next_offset = %(end)s where partition = %(partition)s and next_offset = %(expected)s
   and heals = %(heals)s

-- guards --
-- The start of every batch of the live projection. Activation and rollback lock this row exclusively: while a batch holds
-- it, the generation stays the active one.
entered as materialized (
    select generation from active_generation where generation = %(generation)s for share
), fence as (
    {fence} and exists (select from entered)
 returning partition
)

-- outcome --
-- Whether both guards hold. Readers are notified of the new position at the commit.
exists (select from entered), exists (select from fence),
(select pg_notify('pulp_positions', %(payload)s) from fence)

-- enter --
with {guards} select {outcome};
