"""`pulp-tasks subjects`: the master keys that wrap the keys of personal data, and erasures after a restore."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from pulp_console.groups import Group, examples
from pulp_console.output import show
from pulp_events.settings import SettingsError

from pulp_deploy import process_settings
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.postgres import answering
from pulp_deploy.commands.target import Target, data_option
from pulp_deploy.settings_help import SettingsCommand

if TYPE_CHECKING:
    from psycopg import AsyncConnection

T = TypeVar("T")


@click.group(cls=Group, epilog=examples("pulp-tasks subjects keygen /etc/pulp-tasks/personal-keys"))
def subjects() -> None:
    """Manage the keys of personal data.

    Postgres holds each subject's key. A master key, in a file outside the database, can wrap them: then a backup of the
    database alone holds no usable key. `pulp-admin subjects` lists and erases subjects.
    """


@subjects.command(epilog=examples("pulp-tasks subjects keygen /etc/pulp-tasks/personal-keys"))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@output_option
def keygen(file: Path, output: str) -> None:
    """Add a new master key to a file.

    It creates FILE if it is missing, and adds the new key as the last line. Nothing is wrapped with that key until
    `rewrap`: first give the file to every API, processor and worker, as PULP_PERSONAL_KEY_FILE.
    """
    from pulp_projections.personal.master import add_master_key

    try:
        made = add_master_key(file)
    except OSError as error:
        raise SettingsError(
            f"{file}: no key can be written: {error.strerror or error}. Its folder has to be there, and yours to write"
        ) from error
    show(output, {"master": made, "file": str(file)}, lambda: [f"master key {made} is in {file}"])


@subjects.command(
    cls=SettingsCommand,
    settings=process_settings.personal_keys,
    epilog=examples("pulp-tasks subjects rewrap"),
)
@data_option
@output_option
def rewrap(data: Path | None, output: str) -> None:
    """Wrap all keys with the newest master key.

    That is the last key of the file, which also wraps all keys created from then on. It wraps all keys or none, in one
    transaction. Afterwards the file no longer needs the other master keys, and without them no older backup of the
    database holds a usable key. It needs the rights of the owner of the tables.
    """
    from pulp_projections.personal.keys import SubjectKeys
    from pulp_projections.personal.master import MasterKeys
    from pulp_runtime.installation import PERSONAL_KEY_FILE

    master = MasterKeys(PERSONAL_KEY_FILE.read(Target.find(data).environment))
    master.check()
    number, newest = _run(data, SubjectKeys(master).rewrap)
    how = "stored as they are: PULP_PERSONAL_KEY_FILE is not set" if newest is None else f"wrapped by {newest}"
    show(output, {"keys": number, "master": newest}, lambda: [f"{number} keys are {how}"])


@subjects.command("erase-again", epilog=examples("pulp-tasks subjects erase-again"))
@data_option
@output_option
def erase_again(data: Path | None, output: str) -> None:
    """Erase again what a restore brought back.

    A database restored from a backup has keys that were destroyed since the backup; the audit knows which. The command
    reads the audit from its beginning, leaves what is erased as it is, and needs the rights of the owner of the tables.
    """
    from pulp_events.audit import What
    from pulp_events.audit_reader import read_audit
    from pulp_projections.personal.keys import Destroyed, destroy_again

    target = Target.find(data)
    entries = read_audit(target.need_kafka(), target.topics.audit)
    records = (entry.record for entry in entries if entry is not None and entry.record is not None)
    found = [Destroyed.of(each) for each in records if each.what == What.SUBJECT_ERASED]  # the audit may be of years
    destroyed = _run(data, lambda connection: destroy_again(connection, [each for each in found if each is not None]))
    report = {"erasures": len(found), "destroyed": [str(key_id) for key_id in destroyed]}
    show(output, report, lambda: [f"{len(destroyed)} keys are destroyed again, of {len(found)} erasures in the audit"])


def _run(data: Path | None, work: "Callable[[AsyncConnection[Any]], Awaitable[T]]") -> T:
    from pulp_projections.connection import connect

    postgres = Target.find(data).need_postgres()

    async def run() -> T:
        async with await connect(postgres, "pulp-tasks subjects", connect_timeout_s=10) as connection:
            return await work(connection)

    with answering():
        return asyncio.run(run())
