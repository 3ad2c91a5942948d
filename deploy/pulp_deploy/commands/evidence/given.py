"""What commands on the evidence are given: files, keys, an archive, the installation."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from pulp_deploy.commands.target import Target, environment

if TYPE_CHECKING:
    from pulp_archive.archive import Archive
    from pulp_transparency.keys import KeyRing
    from pulp_transparency.records import Records
    from pulp_transparency.settings import Settings

FILE: Final = click.Path(dir_okay=False, path_type=Path)
FOLDER: Final = click.Path(file_okay=False, path_type=Path)
folder_option: Final = click.option(
    "--folder", type=FOLDER, help="Folder of the tiles. Default: PULP_TRANSPARENCY_FOLDER."
)
keys_option: Final = click.option(
    "--keys", type=FILE, help="File of verifier keys that you trust. Default: PULP_TRANSPARENCY_KEYS."
)


def environment_of(data: Path | None) -> dict[str, str]:
    """The environment of the installation, or ours if no installation is known: keys and archives need none."""
    from pulp_events.errors import SettingsError

    try:
        return environment(data)
    except SettingsError:
        if data is not None:
            raise
        return dict(os.environ)


def archive_of(named: str | None, given: dict[str, str]) -> "Archive | None":
    """The archive that is named, or that of the installation; None for a copy of the records, or without one."""
    from pulp_archive.archive import Archive
    from pulp_archive.settings import ARCHIVE

    url: str | None = named or ARCHIVE.read(given)
    if url is None:
        return None
    found = Archive.open(url)
    return found if found.manifests or named is None else None


def records_of(named: str | None, archive: "Archive | None", data: Path | None, settings: "Settings") -> "Records":
    """The partitions to compare: the named ones, or all."""
    from pulp_events import admin
    from pulp_transparency.records import ArchivedRecords, CopyFolder, KafkaRecords

    if named is not None:
        return CopyFolder(Path(named)) if archive is None else ArchivedRecords(archive)
    servers = Target.find(data).need_kafka()
    kafka = KafkaRecords(servers, settings.topics.events)
    if archive is None:
        return kafka
    archive.check_topic(settings.topics.events, admin.describe(servers, settings.topics.events).topic_id)
    return ArchivedRecords(archive, kafka)


def settings_of(given: dict[str, str] | Any, **options: Path | None) -> "Settings":
    """The settings with those options that are given; Kafka need not be known for keys and archives."""
    from pulp_transparency.settings import Settings

    own = {name: str(path) for name, path in options.items() if path is not None}
    kafka = given.get("PULP_KAFKA", "").strip() or "127.0.0.1"
    return Settings.read({**given, "PULP_KAFKA": kafka, **own})


def ring_of(settings: "Settings") -> "KeyRing":
    from pulp_transparency.keys import KeyRing

    return KeyRing.read(settings.needed_keys)
