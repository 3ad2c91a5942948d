-- What each worker offers, so that it can be told why a task waits that none of them can run. Null: not known, for the
-- worker is of a release that does not say it.

alter table workers add column operations text[];
