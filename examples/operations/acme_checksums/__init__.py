"""The operation `checksums`: reads every file of a folder, and keeps their SHA-256 sums in the workers' storage."""

import hashlib
import time
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import msgspec
from msgspec import Meta
from pulp_worker import Context, OperationError, Resource, operation


class ChecksumArguments(msgspec.Struct, kw_only=True):
    """What a submission gives. It is checked before a task is made of it."""

    folder: Annotated[
        str, Meta(pattern="^/", description="An absolute path, as the worker sees it.", examples=["/srv/packages"])
    ]
    rest_s: Annotated[float, Meta(ge=0, le=60, description="Seconds to rest after each file.")] = 0


# Two tasks on one folder never run at the same time: each has the resource to itself.
@operation("checksums", arguments=ChecksumArguments, cancellable=True, resources=[Resource("folder", "{folder}")])
def checksums(context: Context[ChecksumArguments]) -> dict[str, int | str]:
    """Write the SHA-256 sums of the files of a folder."""
    folder = Path(context.arguments.folder)
    if not folder.is_dir():
        raise OperationError("no-such-folder", f"{folder} is not a folder on this worker: name one that it can read.")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    lines: list[str] = []
    for path in files:
        context.check_cancelled()
        with path.open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
        context.report({"checksums": {"items_total": len(files), "items_left": len(files) - len(lines)}})
        _rest(context)
    sums = context.storage / "checksums" / f"{quote(str(folder), safe='')}.sha256"
    sums.parent.mkdir(exist_ok=True)
    sums.write_text("".join(lines))
    return {"files": len(files), "sums": str(sums)}


def _rest(context: Context[ChecksumArguments]) -> None:
    """A cancel is heeded within a moment: an operation that does not stop for 10 s is killed."""
    ends = time.monotonic() + context.arguments.rest_s
    while (left_s := ends - time.monotonic()) > 0:
        context.check_cancelled()
        time.sleep(min(0.2, left_s))
