"""Converting versions that a release before format 1 wrote to the present format."""

import asyncio
import posixpath
from pathlib import Path
from typing import Any

import msgspec
from pulp_worker import Context

from pulp_operations.layout import link_or_copy
from pulp_operations.reading import Normalised, Normalising, UnpackLimits, normalise, read_repomd
from pulp_operations.records import MetadataFile, Repomd
from pulp_operations.settings import CHECKSUM_TYPES
from pulp_operations.versions import OLD_METADATA, RECEIVED, StoredVersion, Versions


async def converted(
    context: Context[Any], versions: Versions, held: StoredVersion, scratch: Path, token: int
) -> StoredVersion:
    """The same version in the present format; `scratch` is created for it.

    It has no unknown metadata, no signature and no repomd.xml as received: those releases did not keep them. Raises
    `OperationError` (`bad-repository`, `fenced`) and `LimitExceeded`.
    """
    if held.version.format:
        return held
    what = "reading the metadata of a version that a release before has stored"
    content = await asyncio.to_thread((held.folder / OLD_METADATA / "repomd.xml").read_bytes)
    repomd = await context.isolated(read_repomd, content, returns=Repomd, what=what)
    received = scratch / RECEIVED
    received.mkdir(parents=True)
    entries = await asyncio.to_thread(_take, repomd.entries, held.folder / OLD_METADATA, received)
    limits = UnpackLimits(context.fetching.unpacked_bytes, context.fetching.unpacked_ratio)
    options = Normalising(limits=limits, algorithms=CHECKSUM_TYPES)
    normalised = await context.isolated(
        normalise, str(received), entries, str(scratch), options, returns=Normalised, what=what
    )
    version = msgspec.structs.replace(
        held.version, token=token, format=1, counts=normalised.counts, entries=entries, is_complete=False
    )
    return await asyncio.to_thread(versions.convert, held, scratch, version)


def _take(entries: list[MetadataFile], source: Path, target: Path) -> list[MetadataFile]:
    """Link the kept files under their present names; returns their entries."""
    taken = []
    for entry in entries:
        path = source / posixpath.basename(entry.href)
        if path.is_file():
            link_or_copy(path, target / entry.own_name)
            taken.append(entry)
    return taken
