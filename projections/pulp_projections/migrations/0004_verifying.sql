-- A generation may exist only to be compared with the active one: it never becomes active, and is dropped afterwards.

alter table generations
    drop constraint generations_status_check,
    add constraint generations_status_check
        check (status in ('building', 'ready', 'active', 'retired', 'verifying'));
