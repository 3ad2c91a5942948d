-- generations --
-- Generations of the read model, the newest first.
select generation, status, created_at, activated_at, verified_at, ends from generations order by generation desc;

-- dead_letters_count --
select count(*) from dead_letters where standing <> 'waits';

-- parked_count --
select count(*) from dead_letters where standing = 'parks';
