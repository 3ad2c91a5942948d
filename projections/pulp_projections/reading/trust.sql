-- generations --
-- Generations of the read model, the newest first.
select generation, status, created_at, activated_at, verified_at, ends from generations order by generation desc;

-- dead_letters --
-- Records that cannot be projected, the newest first, without what they hold; those that only wait are left out.
select partition, record_offset, broker_time, reason, sent, standing, task_id from dead_letters
 where standing <> 'waits'
 order by broker_time desc, partition, record_offset desc limit %(limit)s offset %(skip)s;

-- dead_letters_count --
select count(*) from dead_letters where standing <> 'waits';

-- parked_count --
select count(*) from dead_letters where standing = 'parks';
