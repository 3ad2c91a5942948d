-- The epoch of a dispatcher that was elected and assigns nothing yet: it waits until the projection has passed the log,
-- and until workers have put back what a failover lost. Null, or another epoch (a processor of an earlier release
-- leaves it alone): nothing is known about such a wait.
alter table dispatcher add column settling_epoch bigint;
