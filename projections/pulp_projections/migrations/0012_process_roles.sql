-- The role that each kind of process logs in with, so that what a migration or a rebuild creates is granted to it. No
-- row: the processes use the owner.

create table process_roles (
    process text primary key check (process in ('processor', 'api', 'worker', 'reader')),
    role    name not null
);
