-- What each worker offers, which explains why a task waits that none of them can run. Null: not known, because the
-- worker is of a release that does not register it.

alter table workers add column operations text[];
