-- The arguments of an operation, and who declared them. A worker's own declaration may differ from the one that counts.

alter table operations
    add column arguments json,               -- JSON Schema (draft 2020-12) of its arguments; null: anything is taken
    add column requires  text,               -- the operation that must have succeeded on the same resource, or be under way
    add column digest    text,               -- of all that is declared; null: declared by an earlier release
    add column package   text,               -- the distribution that provides it, and its version; null: not known
    add column version   text;

alter table workers add column declarations json;  -- operation → digest of what this worker declares
