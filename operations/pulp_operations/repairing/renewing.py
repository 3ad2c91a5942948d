"""Rebuilding a version's own metadata from the received files."""

import asyncio
from pathlib import Path
from typing import Any

from pulp_worker import Context, OperationError

from pulp_operations.reading import Normalised, Normalising, UnpackLimits, normalise
from pulp_operations.settings import CHECKSUM_TYPES
from pulp_operations.storage import StorageError
from pulp_operations.versions import RECEIVED, StoredVersion, Versions


async def renew(context: Context[Any], versions: Versions, held: StoredVersion, scratch: Path) -> StoredVersion:
    """The version with its own metadata written again; `scratch` is created for it.

    Raises `OperationError` with the reason and a cure where that is not possible.
    """
    base = _base(versions, held)
    await asyncio.to_thread(scratch.mkdir)
    limits = UnpackLimits(context.fetching.unpacked_bytes, context.fetching.unpacked_ratio)
    options = Normalising(limits=limits, algorithms=CHECKSUM_TYPES, base=base)
    try:
        made: Normalised = await context.isolated(
            normalise,
            str(held.folder / RECEIVED),
            held.version.entries,
            str(scratch),
            options,
            returns=Normalised,
            what="regenerating the metadata",
        )
    except StorageError:
        raise
    except OperationError as error:
        raise OperationError(error.code, f"{error.description}: sync the repository") from error
    if made.counts.packages != held.version.counts.packages:
        raise OperationError(
            "not-repaired",
            f"regenerated, it has {made.counts.packages} packages, where it had {held.version.counts.packages}: sync"
            " the repository",
        )
    return versions.renew(held, scratch, held.version.counts)


def _base(versions: Versions, held: StoredVersion) -> str | None:
    """The version whose packages follow those of the feed."""
    if held.version.mode != "additive":
        return None
    before = [each for each in versions.all() if each.version.number == held.version.number - 1]
    if held.version.number > 1 and not before:
        raise OperationError(
            "not-repaired", "it was made with --additive, and the version before it is not kept: sync the repository"
        )
    return str(before[0].folder) if before else None
