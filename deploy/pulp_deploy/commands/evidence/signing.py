"""`pulp-tasks audit keygen` and `keys`."""

from pathlib import Path

import click
from pulp_console.groups import examples
from pulp_console.output import hint, show, table

from pulp_deploy import process_settings
from pulp_deploy.commands.evidence.given import FILE, environment_of, folder_option, keys_option, ring_of, settings_of
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.target import data_option
from pulp_deploy.settings_help import SettingsCommand


@click.command(
    "keygen",
    cls=SettingsCommand,
    settings=process_settings.evidence,
    epilog=examples("pulp-tasks audit keygen --name tasks.example/events", "pulp-tasks audit keygen --rotate"),
)
@click.option("--name", help="Name of the log, such as HOST/pulp.tasks.events: never changed later.")
@click.option("--key", type=FILE, help="File of the signing key. Default: PULP_TRANSPARENCY_KEY.")
@click.option("--rotate", is_flag=True, help="Replace the key: the new one signs from the current end of the log.")
@folder_option
@data_option
@output_option
def keygen(
    name: str | None, key: Path | None, rotate: bool, folder: Path | None, data: Path | None, output: str
) -> None:
    """Create the key that signs the log, or replace it.

    It prints the verifier key. Give it to those who will check the log, in a way that nobody at the installation can
    tamper with. The file of verifier keys next to the signing key says which part of the log each key may sign. To
    replace a key, stop pulp-tasks transparency first; afterwards hand out that file again.
    """
    from pulp_transparency.errors import KeyFault
    from pulp_transparency.follower import FolderLock
    from pulp_transparency.key_files import make_key, rotate_key
    from pulp_transparency.keys import KeyRing
    from pulp_transparency.settings import KEY
    from pulp_transparency.tiles import TileFolder
    from pulp_transparency.verifying import logs_in

    if rotate == (name is not None):
        raise click.UsageError("Give either --name, for the first key, or --rotate.")
    given = environment_of(data)
    settings = settings_of(given, PULP_TRANSPARENCY_KEY=key, PULP_TRANSPARENCY_FOLDER=folder)
    place = settings.needed_key
    ring = settings.needed_keys
    if name is not None:
        signer = make_key(place, ring, name, settings.folder)
    else:
        tiles = settings.needed_folder
        refusal = (  # with another folder than the log's, the keys would state wrong spans
            f"{tiles} has no checkpoint, and so does not say from where on a new key signs: name the log's folder with"
            f" --folder. A key that has signed nothing needs no rotation: remove {place} and {ring}, and make a new one"
            " with --name"
        )
        if not logs_in(tiles):
            raise KeyFault(refusal)
        with FolderLock(tiles):
            known = KeyRing.read(ring)
            notes = {each: TileFolder(tiles / str(each)).checkpoint() for each in logs_in(tiles)}
            sizes = {each: known.open(note, each).size for each, note in notes.items() if note is not None}
            if not sizes:
                raise KeyFault(refusal)
            signer = rotate_key(place, ring, sizes)
    report = {"vkey": signer.verifier.vkey, "key": str(place), "keys": str(ring)}
    show(output, report, lambda: [signer.verifier.vkey])
    hint(f"The signing key is in {place}, and the verifier keys are in {ring}.")
    if key is not None and given.get(KEY.name) != str(key):
        hint(f"Set {KEY.name}={place} for pulp-tasks transparency.")


@click.command("keys", epilog=examples("pulp-tasks audit keys", "pulp-tasks audit keys --partition 3 --output json"))
@click.option("--partition", "partitions", type=click.IntRange(0), multiple=True, metavar="N", help="Only these.")
@folder_option
@keys_option
@data_option
@output_option
def keys(partitions: tuple[int, ...], folder: Path | None, keys: Path | None, data: Path | None, output: str) -> None:
    """List the verifier keys of each partition's log.

    Each partition is a log of its own, whose key has the log's name, as verifiers of transparency logs expect.
    """
    from pulp_transparency.verifying import logs_in

    settings = settings_of(environment_of(data), PULP_TRANSPARENCY_FOLDER=folder, PULP_TRANSPARENCY_KEYS=keys)
    ring = ring_of(settings)
    found = []
    for partition in partitions or logs_in(settings.needed_folder):
        for number, verifier in enumerate(ring.verifiers(partition)):
            least, most = ring.span(number, partition)
            found.append({"partition": partition, "vkey": verifier.vkey, "signs_from": least, "signs_to": most})
    rows = [
        [
            str(each["partition"]),
            f"{each['signs_from']}-{'' if each['signs_to'] is None else each['signs_to']}",
            str(each["vkey"]),
        ]
        for each in found
    ]
    show(output, found, lambda: table(rows, ("PARTITION", "SIZES", "VERIFIER KEY"), width=None))
