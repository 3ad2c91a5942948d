"""Descriptions of exceptions of any kind: nothing here raises, whatever an exception does when printed."""

import os
import traceback
from pathlib import Path
from typing import Final

_WORKER: Final = f"{Path(__file__).parent}{os.sep}"
_MOST_CAUSES: Final = 20
"""The longest chain of exceptions that is shown; for a longer one, the traceback shows only the last, since formatting
thousands takes seconds."""
_TEXT_LIMIT: Final = 100_000


def described(error: BaseException) -> str:
    """The type and the text, as Python prints them: `KeyError: 'x'`; only the type if there is no text."""
    name = type_name(error)
    text = text_of(error)
    if text is None:
        return f"{name} (its text cannot be made: str() of it fails)"
    return f"{name}: {text}" if text.strip() else name


def traceback_of(error: BaseException, *, chain: bool = True) -> str:
    """The traceback, with causes and notes unless `chain` is false, as far as it can be formatted.

    It begins with the operation's own code: the worker's frames around it, and between its frames, are left out.
    """
    is_long = chain and _is_long(error)
    try:
        summary = traceback.TracebackException.from_exception(error)
        _leave_worker_out(summary)
        trace = "".join(summary.format(chain=chain and not is_long))
    except BaseException:  # formatting runs code of the operation's classes
        trace = _frames_of(error) + described(error) + "\n"
    return f"(more than {_MOST_CAUSES} causes are left out)\n{trace}" if is_long else trace


def type_name(error: BaseException) -> str:
    """The name of the class, with its module unless it is a builtin."""
    kind = type(error)
    try:
        module, name = str(kind.__module__), str(kind.__qualname__)
    except BaseException:  # the operation may have a metaclass
        return "an exception whose class has no name"
    return name if module in ("builtins", "__main__") else f"{module}.{name}"


def text_of(value: object) -> str | None:
    """`str(value)`, cut at 100,000 characters; None if that fails."""
    try:
        return str(value)[:_TEXT_LIMIT]
    except BaseException:  # __str__ raises, or returns something else
        return None


def _leave_worker_out(summary: traceback.TracebackException) -> None:
    """Drop the worker's frames, except those that the operation called last, such as `Context.report`."""
    own = [place for place, frame in enumerate(summary.stack) if not frame.filename.startswith(_WORKER)]
    if own:
        kept = [
            frame
            for place, frame in enumerate(summary.stack)
            if place > own[-1] or not frame.filename.startswith(_WORKER)
        ]
        summary.stack[:] = kept
    for related in (summary.__cause__, summary.__context__, *(summary.exceptions or ())):
        if related is not None:
            _leave_worker_out(related)


def _frames_of(error: BaseException) -> str:
    try:
        return "Traceback (most recent call last):\n" + "".join(traceback.format_tb(error.__traceback__))
    except BaseException:  # for example, the file of a frame cannot be read
        return ""


def _is_long(error: BaseException) -> bool:
    links = 0
    cause: BaseException | None = error
    while cause is not None and links <= _MOST_CAUSES:  # a chain may be a ring
        links += 1
        cause = cause.__context__ if cause.__cause__ is None else cause.__cause__
    return links > _MOST_CAUSES
