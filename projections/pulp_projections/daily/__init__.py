"""The daily statistics, a read model besides that of the tasks: `daily.sql` has its table, its statements and its
query.

`buckets` stores durations, `fold` turns the changes of a batch into rows, `reading` reads them. The rest of the package
uses it in few places: the fold of a batch calls `fold.added`, both writers run `add`, a new generation runs `create`,
and `schemas.py` and `grants.py` name the table.
"""
