"""The interface for writing operations.

    @operation("mirror", cancellable=True, resources=[Resource("repository", "{repo_id}")])
    async def mirror(context: Context) -> object: ...

An `async def` runs on the worker's event loop, a plain `def` in a child process of its own. Either gets a `Context` and
returns a result that JSON can hold. docs/operate/operations.md describes what an operation may expect of its process
and do to it, and what happens to its output, its signals and anything that it leaves behind.
"""

import asyncio
import inspect
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, overload
from uuid import UUID

import msgspec
from pulp_events.codec import MAX_CARRIED_BYTES
from pulp_events.events import MAX_TIME_LIMIT_S, Retry
from pulp_events.plain_words import misfit_of
from pulp_projections.personal.envelope import personal_in

from pulp_worker.arguments import decode, schema_of
from pulp_worker.encoding import encode
from pulp_worker.errors import ProgressTooLarge, TaskCancelled
from pulp_worker.fetching.settings import FetchSettings
from pulp_worker.isolation import IsolationSettings, isolated

if TYPE_CHECKING:
    from pulp_worker.fetching.fetcher import Fetcher

if TYPE_CHECKING:  # a default lets an operation without declared arguments write `Context` alone
    from typing_extensions import TypeVar

    A = TypeVar("A", covariant=True, default=Mapping[str, Any])
else:
    from typing import TypeVar

    A = TypeVar("A", covariant=True)
R = TypeVar("R")

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,254}")
_LOOK_S: Final = 0.1
_FETCHING: Final = FetchSettings()
_ISOLATION: Final = IsolationSettings()


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource that each task of an operation uses; `{argument}` in the id stands for that argument's value."""

    type: str
    id: str
    access: Literal["exclusive", "shared"] = "exclusive"


class Context(Generic[A]):
    """One attempt at a task, as its operation sees it. Safe to use from any thread of the operation.

    `Context[MirrorArguments]` for an operation that declares `arguments=MirrorArguments`.
    """

    def __init__(
        self,
        *,
        task_id: UUID,
        attempt_id: UUID,
        arguments: A,
        storage: Path,
        tokens: Mapping[str, int],
        send: Callable[[bytes], object],
        is_asked: Callable[[], bool] | None = None,
        fetching: FetchSettings = _FETCHING,
        isolation: IsolationSettings = _ISOLATION,
    ) -> None:
        """`is_asked`, if `cancel` is not called: checks whether somebody has asked the task to stop."""
        self.task_id = task_id
        self.attempt_id = attempt_id
        self.arguments = arguments
        """The arguments of the submission, in the type that the operation declares, or else as a mapping."""
        self.storage = storage
        """A folder that all workers share."""
        self.tokens = tokens
        """Fencing token by resource (`TYPE:ID`): rises with each reservation. A store refuses a lower one."""
        self._send = send
        self._is_asked = is_asked
        self.fetching = fetching
        """The rules and bounds of `fetcher`."""
        self._isolation = isolation
        self._is_cancelled = False
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def report(self, progress: Mapping[str, Any]) -> None:
        """Report how far the task is: a JSON object that replaces the previous one. Cheap; only the newest is kept.

        Raises `ProgressTooLarge` over 256 KiB, `TypeError` or `ValueError` for what cannot be kept: NaN and infinity
        among others. `RuntimeError` in a process that was forked from the operation's own.
        """
        try:
            encoded = encode(dict(progress))
        except (OverflowError, RecursionError) as error:
            raise ValueError(f"progress cannot be kept: {error}") from error
        if len(encoded) > MAX_CARRIED_BYTES:
            raise ProgressTooLarge(f"progress has {len(encoded)} bytes, at most {MAX_CARRIED_BYTES} are kept")
        if holds_nul(encoded):
            raise ValueError("progress holds the character U+0000, which cannot be kept")
        self._send(encoded)

    def fetcher(self, *, connections: int = 4, verify_tls: bool = True, credential: str | None = None) -> "Fetcher":
        """An HTTP client for use in an `async with`; it enforces the rules and bounds of the worker's settings.

        Operations should fetch URLs from others only with it: see `pulp_worker.fetching`. `credential` names one of the
        worker's credentials (PULP_FEED_CREDENTIALS), which is sent only to its own URLs. Raises `OperationError`
        (`unknown-credential`, `bad-credential`), and `FetchRefused` without `verify_tls`.
        """
        # Imported here: httpx would take 8 MiB in every worker, even if its operations fetch nothing.
        from pulp_worker.fetching import credentials
        from pulp_worker.fetching.fetcher import Fetcher

        found = None if credential is None else credentials.credential(credential, self.fetching.credentials)
        return Fetcher(self.fetching, os.environ, connections=connections, verify_tls=verify_tls, credential=found)

    async def isolated(
        self,
        function: Callable[..., R],
        *arguments: Any,
        returns: Any,
        what: str,
        memory_bytes: int | None = None,
        cpu_s: int | None = None,
        total_s: float | None = None,
    ) -> R:
        """Call a function of a module in a process of its own, whose memory and time are bounded, for example to read
        untrusted documents. The result is decoded as the type `returns`; `what` names the work in errors, as in
        `reading the list`.

        Arguments and result must be values that msgpack can hold: texts, numbers, bytes, lists, mappings, dataclasses
        and structs. Bounds are those of the worker's settings, or lower. A plain operation calls it with `asyncio.run`.
        Raises `LimitExceeded`, the `OperationError` that the function raises, and `OperationError` (`isolated-failed`)
        if it fails in another way.
        """
        limits = self._isolation.lowered(memory_bytes=memory_bytes, cpu_s=cpu_s, total_s=total_s)
        return await isolated(function, *arguments, returns=returns, limits=limits, what=what)

    @property
    def cancelled(self) -> bool:
        """Whether somebody has asked the task to stop."""
        if not self._is_cancelled and self._is_asked is not None and self._is_asked():
            self.cancel()
        return self._is_cancelled

    def check_cancelled(self) -> None:
        """Raise `TaskCancelled` if somebody has asked the task to stop."""
        if self.cancelled:
            raise TaskCancelled

    async def wait_cancelled(self) -> None:
        """Returns when somebody asks the task to stop; for async operations that wait for something else as well."""
        if self._is_asked is not None:
            while not self.cancelled:  # noqa: ASYNC110  # nobody calls `cancel`
                await asyncio.sleep(_LOOK_S)
        elif not self.cancelled:
            event = asyncio.Event()
            self._waiters.append((asyncio.get_running_loop(), event))
            await event.wait()

    def cancel(self) -> None:
        """Ask the operation to stop. For the worker, and for tests of operations."""
        self._is_cancelled = True
        for loop, event in self._waiters:
            loop.call_soon_threadsafe(event.set)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """An operation that workers can run."""

    name: str
    cancellable: bool
    description: str
    resources: tuple[Resource, ...]
    tags: tuple[str, ...] | None
    function: Callable[[Context[Any]], Any]
    arguments: type[Any] | None = None
    """The declared type of its arguments; without it they are a mapping, and any are accepted."""
    schema: Mapping[str, Any] | None = field(default=None, compare=False)
    """The JSON Schema of `arguments`."""
    requires: str | None = None
    """The operation that must have succeeded, or be in progress, on the same resource."""
    retry: Retry | None = None
    """The retries of a submission that does not set them itself."""
    deadline_s: int | None = None
    """The time that all attempts may take together, for a submission that does not set it itself."""

    def call(self, context: Context[Any]) -> Any:
        """Call the function with the decoded arguments. Raises `BadArguments`, and whatever the function raises."""
        if self.arguments is not None and self.schema is not None:
            context.arguments = decode(context.arguments, self.arguments, self.schema, self.name)
        return self.function(context)

    @property
    def is_async(self) -> bool:
        """Whether it runs on the event loop; otherwise it runs in a child process."""
        return inspect.iscoroutinefunction(self.function)


def holds_nul(encoded: bytes) -> bool:
    """Whether a JSON text holds the character U+0000, which no text column of Postgres can keep."""
    return b"\\u0000" in encoded and b"\\u0000" in encoded.replace(b"\\\\", b"")


@overload
def operation(
    name: str,
    *,
    arguments: type[A],
    cancellable: bool = False,
    resources: Sequence[Resource] = (),
    tags: Sequence[str] | None = None,
    description: str | None = None,
    requires: str | None = None,
    retries: int = 0,
    backoff_s: float = 10.0,
    max_backoff_s: float = 600.0,
    deadline_s: int | None = None,
) -> Callable[[Callable[[Context[A]], Any]], Operation]: ...


@overload
def operation(
    name: str,
    *,
    cancellable: bool = False,
    resources: Sequence[Resource] = (),
    tags: Sequence[str] | None = None,
    description: str | None = None,
    requires: str | None = None,
    retries: int = 0,
    backoff_s: float = 10.0,
    max_backoff_s: float = 600.0,
    deadline_s: int | None = None,
) -> Callable[[Callable[[Context], Any]], Operation]: ...


def operation(
    name: str,
    *,
    arguments: type[Any] | None = None,
    cancellable: bool = False,
    resources: Sequence[Resource] = (),
    tags: Sequence[str] | None = None,
    description: str | None = None,
    requires: str | None = None,
    retries: int = 0,
    backoff_s: float = 10.0,
    max_backoff_s: float = 600.0,
    deadline_s: int | None = None,
) -> Callable[[Callable[[Context[Any]], Any]], Operation]:
    """Make a function an operation. Name its module under the entry point group `pulp_tasks.operations`.

    `arguments` is their declared type (see `pulp_worker.arguments`): the API refuses a submission that does not fit,
    and `Context.arguments` has that type. Without it any arguments are accepted, and the operation gets a mapping.
    `resources` and `tags` are the defaults for submissions that name none; `{argument}` in them stands for that
    argument. `cancellable`: whether the operation heeds `Context.cancelled` while it runs. `requires` names an
    operation that must have succeeded on the first exclusive resource, or be in progress there: otherwise the API
    refuses the submission. `retries`: how often a task is retried after a failed attempt, unless the error is final
    (see `OperationError`). The first retry waits for `backoff_s` seconds, the next for twice as long, none for longer
    than `max_backoff_s`; up to half of each wait is left out at random. `deadline_s` is how long all attempts may take
    together, counted from acceptance. A submission may override both. Raises `ValueError` for an invalid name or
    declaration.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"operation {name!r}: a name has lower-case letters, digits, '-', '_' and '.'")
    schema = None if arguments is None else schema_of(arguments, name)
    _check_templates(name, schema, [*(item.id for item in resources), *(tags or ())])
    retry = _retry(name, retries, backoff_s, max_backoff_s) if retries else None
    if deadline_s is not None and not 1 <= deadline_s <= MAX_TIME_LIMIT_S:
        raise ValueError(f"operation {name!r}: deadline_s is from 1 to {MAX_TIME_LIMIT_S}, not {deadline_s}")

    def make(function: Callable[[Context[Any]], Any]) -> Operation:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ValueError(f"operation {name!r}: the function has a `yield`, so calling it would run nothing of it")
        first_line = (inspect.getdoc(function) or "").partition("\n")[0]
        return Operation(
            name=name,
            cancellable=cancellable,
            description=first_line if description is None else description,
            resources=tuple(resources),
            tags=None if tags is None else tuple(tags),
            function=function,
            arguments=arguments,
            schema=schema,
            requires=requires,
            retry=retry,
            deadline_s=deadline_s,
        )

    return make


def _check_templates(operation: str, schema: Mapping[str, Any] | None, texts: Sequence[str]) -> None:
    """Raises `ValueError` for resources and tags that would hold personal data, which nothing encrypts there."""
    for argument in personal_in(schema or {}):
        for text in texts:
            if f"{{{argument}}}" in text:
                raise ValueError(
                    f"operation {operation!r}: {text!r} names the argument {argument!r}, which is personal: resources"
                    " and tags are not encrypted"
                )


def _retry(operation: str, retries: int, backoff_s: float, max_backoff_s: float) -> Retry:
    """Raises `ValueError` for a value that an event may not hold."""
    made = Retry(retries=retries, backoff_seconds=backoff_s, max_backoff_seconds=max_backoff_s)
    try:
        return msgspec.convert(msgspec.to_builtins(made), Retry)
    except msgspec.ValidationError as error:
        raise ValueError(f"operation {operation!r}: {misfit_of(error).of('its retries')}") from None
