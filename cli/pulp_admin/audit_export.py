"""`pulp-admin audit export`: the audit as a file, page by page. A cut export is continued where it was."""

import contextlib
import fcntl
import gzip
import itertools
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import click
from pulp_console.exits import DATA, UNWRITABLE
from pulp_console.groups import Choice, examples
from pulp_console.output import hint, show

from pulp_admin.app import App, with_app
from pulp_admin.audit_formats import FORMATS, check_parquet, head, lines, write_parquet
from pulp_admin.audit_listing import PAGE
from pulp_admin.audit_options import filter_options, params_of
from pulp_admin.errors import Failure
from pulp_admin.paths import api_path

if TYPE_CHECKING:
    from pulp_admin.client import Client

_TOLD_S: Final = 5.0
_COMPRESSED: Final = frozenset({"bz2", "xz", "zst", "zstd", "lz4", "br", "zip", "7z", "tgz", "z"})
"""Endings that promise a compression which an export does not have."""


_KINDS: Final = {
    **{"format": str, "params": dict, "size_bytes": int, "events": int, "is_complete": bool, "is_gzip": bool},
    **{"cursor": str | None, "end": str | None},
}
"""The types of the fields of an `ExportProgress`."""


@dataclass(frozen=True)
class ExportProgress:
    """The progress of an export. It is stored next to the file, and records the part of the file that is certainly
    complete.
    """

    format: str
    params: dict[str, Any]
    cursor: str | None = None
    """Where to continue reading; None for the beginning."""
    end: str | None = None
    """Where the read model ended when the export began."""
    size_bytes: int = 0
    """Bytes after this position are from a page that will be read again."""
    events: int = 0
    is_complete: bool = False
    is_gzip: bool = False

    @classmethod
    def of(cls, value: Any) -> "ExportProgress":
        """The progress that a file holds. Raises `ValueError` or `TypeError` for anything else."""
        found = cls(**value)
        given: dict[str, Any] = asdict(found)
        if found.format not in FORMATS or any(not isinstance(given[name], kind) for name, kind in _KINDS.items()):
            raise ValueError("not the progress of an export")
        return found

    def packed(self, content: bytes) -> bytes:
        """The bytes to write for a page. Each page is a separate gzip member, so that a cut export can go on."""
        return gzip.compress(content, mtime=0) if self.is_gzip else content

    @property
    def percent(self) -> int:
        """How much of the log has been covered, up to the end."""
        done, whole = (sum(map(int, (text or "").split(".")[1:])) for text in (self.cursor, self.end))
        return 100 if self.is_complete or not whole else min(99, 100 * done // whole)


Page: TypeAlias = tuple[list[dict[str, Any]], ExportProgress]
"""Events, and the progress after them."""


class ExportFiles:
    """The file of an export, and FILE.part and FILE.part.json, which exist until it is complete."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.part = target.with_name(target.name + ".part")
        self._kept = target.with_name(target.name + ".part.json")

    def begin(self, progress: ExportProgress) -> ExportProgress:
        """Write the head of a new export, and return its progress. Raises `Failure` if the name is taken."""
        if self._kept.exists():
            raise Failure(
                f"An export to {self.target} was cut. To continue it: {self._resume}. To start over, remove"
                f" {self._kept} first.",
                DATA,
            )
        if self.target.exists():
            raise Failure(f"{self.target} is there already: remove it, or choose another name.", DATA)
        with self.open(replace(progress, size_bytes=0)) as descriptor:
            return self.append(descriptor, progress.packed(head(progress.format)), progress)

    def kept(self) -> ExportProgress:
        """The progress of an interrupted export. Raises `Failure`."""
        try:
            found = ExportProgress.of(json.loads(self._kept.read_bytes()))
        except FileNotFoundError:
            raise Failure(f"No export to {self.target} was cut: leave out --resume to begin one.", DATA) from None
        except (ValueError, TypeError, RecursionError):
            raise Failure(f"{self._kept} cannot be read: remove it and {self.part}, and export again.", DATA) from None
        is_named = found.is_complete and self.target.exists()  # and killed just before this was forgotten
        if not is_named and (self.part.stat().st_size if self.part.exists() else -1) < found.size_bytes:
            raise Failure(f"{self.part} is shorter than it was: remove it and {self._kept}, and export again.", DATA)
        return found

    @property
    def is_cut(self) -> bool:
        """Whether there is an export that `--resume` can continue."""
        return self._kept.exists()

    @property
    def how_to_go_on(self) -> str:
        """The remark on an export that was cut."""
        return f"What was written stays; to continue: {self._resume}"

    @property
    def _resume(self) -> str:
        """The command, as a shell takes it."""
        return f"pulp-admin audit export --to {shlex.quote(str(self.target))} --resume"

    def forget(self) -> None:
        """Remove the files of an export that has not written any event."""
        self._kept.unlink(missing_ok=True)
        self.part.unlink(missing_ok=True)

    @contextlib.contextmanager
    def open(self, progress: ExportProgress) -> Iterator[int]:
        """The part, locked for this process and cut to what is certainly complete. Raises `Failure`."""
        descriptor = os.open(self.part, os.O_RDWR | os.O_CREAT, 0o600)  # it holds names and addresses
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, progress.size_bytes)
            os.lseek(descriptor, progress.size_bytes, os.SEEK_SET)
            yield descriptor
        except BlockingIOError:
            raise Failure(f"Another process is writing {self.part}.", UNWRITABLE) from None
        finally:
            os.close(descriptor)

    def append(self, descriptor: int, content: bytes, progress: ExportProgress) -> ExportProgress:
        """Write a page, then record that it is written: after a kill between the two, it is read and written again."""
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
        after = replace(progress, size_bytes=progress.size_bytes + len(content))
        self._keep(after)
        return after

    def finish(self, progress: ExportProgress) -> None:
        """Give the file its name. It can be repeated after a kill."""
        if self.part.exists():
            made = self.part
            if progress.format == "parquet":
                made = self.target.with_name(self.target.name + ".part.parquet")
                try:
                    made.unlink(missing_ok=True)
                    _private(made)
                    write_parquet(self.part, made)
                    _sync(made)
                except BaseException:
                    made.unlink(missing_ok=True)  # on a full disk it takes the space that --resume needs
                    raise
            os.replace(made, self.target)
            self.part.unlink(missing_ok=True)
        self._kept.unlink(missing_ok=True)
        _sync(self.target.parent)

    def _keep(self, progress: ExportProgress) -> None:
        beside = self._kept.with_name(self._kept.name + ".new")
        beside.unlink(missing_ok=True)
        _private(beside)
        beside.write_text(json.dumps(asdict(progress)))
        _sync(beside)
        os.replace(beside, self._kept)


@click.command(
    epilog=examples(
        "pulp-admin audit export --to november.jsonl --since 2026-11-01",
        "pulp-admin audit export --to jo.csv --who jo",
        "pulp-admin audit export --to everything.jsonl.gz",
        "pulp-admin audit export --to november.jsonl --resume",
    )
)
@filter_options
@click.option("--to", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Default: standard output.")
@click.option(
    "--format", "format_", type=Choice(FORMATS), help="Default: by the ending of the file's name, else jsonl."
)
@click.option("--resume", is_flag=True, help="Continue an interrupted export to FILE, with its filters.")
@with_app
def export(app: App, to: Path | None, format_: str | None, resume: bool, **options: Any) -> None:
    """Export events of all tasks as JSON Lines, CSV or Parquet.

    It ends with the last event that exists when it begins. FILE appears once it is complete; until then FILE.part
    grows. --resume continues an export that was interrupted, even by a kill or a full disk: it loses no event and
    repeats none. CSV leaves out the event itself, and puts an apostrophe before anything that a spreadsheet would take
    for a formula. A FILE whose name ends in .gz is compressed.
    """
    if to is None or str(to) == "-":
        if resume or format_ == "parquet":
            raise click.UsageError("--resume and --format parquet need --to FILE.")
        _stream(app.client, ExportProgress(format_ or "jsonl", params_of(app.client, options)))
        return
    files = ExportFiles(to)
    try:
        if resume:
            if format_ is not None or any(options.values()):
                raise click.UsageError("--resume takes the filters and the format of the export that was cut.")
            progress = files.kept()
        else:
            format_, is_gzip = _shape(to, format_)
            if format_ == "parquet":
                check_parquet()
            progress = files.begin(ExportProgress(format_, params_of(app.client, options), is_gzip=is_gzip))
        if not progress.is_complete:
            with files.open(progress) as descriptor:
                progress = _written(app.client, files, descriptor, progress, is_new=not resume)
        files.finish(progress)
    except OSError as error:
        kept = f" {files.how_to_go_on}" if files.is_cut else ""
        raise Failure(f"{to} cannot be written: {error.strerror}.{kept}", UNWRITABLE) from error
    show(
        app.output,
        {"file": str(to), "format": progress.format, "events": progress.events, "end": progress.end},
        lambda: [f"{progress.events} events in {to}"],
    )


def _shape(to: Path, format_: str | None) -> tuple[str, bool]:
    """The format of a file, and whether it is compressed, by its name. Raises `Failure` for unsupported ones."""
    ending = to.suffix[1:].lower()
    if ending in _COMPRESSED:
        raise Failure(
            f"{to}: an export is not compressed as {ending}. Name a file that ends in .gz, one without this ending, or"
            " a .parquet, which is compressed in itself.",
            DATA,
        )
    is_gzip = ending == "gz"
    inner = Path(to.stem).suffix[1:].lower() if is_gzip else ending
    format_ = format_ or (inner if inner in FORMATS else "jsonl")
    if is_gzip and format_ == "parquet":
        raise Failure(f"{to}: a Parquet file is compressed in itself. Name a file that ends in .parquet.", DATA)
    return format_, is_gzip


def _written(
    client: "Client", files: ExportFiles, descriptor: int, progress: ExportProgress, *, is_new: bool
) -> ExportProgress:
    told_s = time.monotonic()
    pages = _pages(client, progress)
    try:
        first = next(pages)
    except Failure:
        if is_new:  # such as a filter that the server refuses: it would refuse a continuation, too
            files.forget()
        raise
    for page, after in itertools.chain([first], _told(pages, files)):
        progress = files.append(
            descriptor,
            progress.packed(lines(progress.format, page)),
            replace(after, size_bytes=progress.size_bytes),
        )
        if time.monotonic() - told_s >= _TOLD_S:
            told_s = time.monotonic()
            hint(f"{progress.events} events, {progress.percent} % of the log")
    return progress


def _told(pages: Iterator[Page], files: ExportFiles) -> Iterator[Page]:
    """The pages. If the server stops answering, a remark says how to continue."""
    try:
        yield from pages
    except Failure:
        hint(files.how_to_go_on)
        raise


def _stream(client: "Client", progress: ExportProgress) -> None:
    out = sys.stdout.buffer
    out.write(head(progress.format))
    told_s = time.monotonic()
    for page, progress in _pages(client, progress):  # noqa: B020  # it goes on from where it was
        out.write(lines(progress.format, page))
        out.flush()
        if time.monotonic() - told_s >= _TOLD_S:
            told_s = time.monotonic()
            hint(f"{progress.events} events, {progress.percent} % of the log")


def _pages(client: "Client", progress: ExportProgress) -> Iterator[Page]:
    """The remaining pages, each with the progress after it."""
    while not progress.is_complete:
        place = {name: text for name, text in (("cursor", progress.cursor), ("end", progress.end)) if text is not None}
        page = client.get(api_path("v3", "audit"), {**progress.params, **place, "limit": PAGE})
        progress = replace(
            progress,
            cursor=page["cursor"],
            end=progress.end or page["end"],
            events=progress.events + len(page["results"]),
            is_complete=page["next"] is None,
        )
        yield page["results"], progress


def _private(path: Path) -> None:
    """Make a new file that only its owner can read: it will hold names and addresses."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
