-- What a rebuild has to remember about its generation, so that another process can continue it.

alter table generations
    add column ends        bigint[],    -- where the log ended when the rebuild began, by partition: what percent is of
    add column indexed_at  timestamptz, -- its indexes are there
    add column verified_at timestamptz, -- it was compared with the active one at one vector of positions
    add column accepted    text[];      -- columns whose differences were accepted
