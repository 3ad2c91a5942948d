"""Where the archive is."""

from typing import Final

from pulp_events.declared_settings import Setting

ARCHIVE: Final = Setting(
    "PULP_ARCHIVE",
    "The archive of the log, which `pulp-tasks archive write` writes: a folder, or a URL of fsspec such as "
    "s3://bucket/tasks. With it, the events topic may have a retention limit; every process needs the same value.",
    kind=str | None,
)
