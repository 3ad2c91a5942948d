"""The daily statistics, a read model beside that of the tasks: `daily.sql` has its table, its statements and its query.

`buckets` is how durations are kept, `fold` how the changes of a batch become rows, `reading` how they are read. What
joins it to the rest: the fold of a batch calls `fold.added`, both writers run `add`, a new generation runs
`create`, and `schemas.py` and `grants.py` name the table.
"""
