-- Whether a task in this state has ended. Postgres inlines the function, also in the predicate of an index, and inverts the list where
-- the function is negated. So queries use the indexes of older generations, whose predicates list the unfinished states.
-- A change of the list needs a new generation: existing indexes would keep the rows that they have.
create function is_final(state text) returns boolean language sql immutable parallel safe
    as $$select state not in ('waiting', 'running', 'cancelling')$$;
