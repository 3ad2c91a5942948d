"""The edge of a command: every error becomes a message and an exit code, never a traceback."""

import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, Never, TextIO

import click

from pulp_console import completion
from pulp_console.exits import INTERRUPTED, NO_READER, UNWRITABLE, USAGE
from pulp_console.output import failed, hint

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def run(
    command: click.Command,
    arguments: Sequence[str] | None,
    *,
    program: str,
    explain: Callable[[Exception], int],
    full: Callable[[OSError], int] | None = None,
    obj: object = None,
) -> int:
    """Run a command line and return its exit code.

    `explain` turns an error into a message and an exit code; `full` does so if a disk is full or broken, which concerns
    the output or a file (default: `unwritable`). Afterwards nothing is left to write, whatever became of the output, so
    the process ends with this code.
    """
    open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        _encode_anything(stream)
    try:
        return _code(command, arguments, program, explain, full or unwritable, obj)
    except KeyboardInterrupt:  # a second Ctrl-C, while it says how it ended
        return INTERRUPTED
    finally:
        for stream in (sys.stdout, sys.stderr):
            _settle(stream)


def end(code: int) -> Never:
    """End the process with this code. From now on Ctrl-C ends it immediately, as the signal would, without a
    traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)


def _code(
    command: click.Command,
    arguments: Sequence[str] | None,
    program: str,
    explain: Callable[[Exception], int],
    full: Callable[[OSError], int],
    obj: object,
) -> int:
    try:
        if os.environ.get(completion.variable(program)):
            completion.set_up_completion()
        _check_text(sys.argv[1:] if arguments is None else arguments)
        code = command.main(arguments, prog_name=program, obj=obj, standalone_mode=False)
        return _flushed(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as error:
        return _flushed(error.exit_code)
    except click.ClickException as error:
        return _usage(error)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError as error:
        return INTERRUPTED if _was_interrupted(error) else _closed_pipe()
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # click itself would exit with 1
            return _closed_pipe()
        raise
    except OSError as error:
        if _was_interrupted(error):
            return INTERRUPTED
        return full(error) if error.errno in _FULL else explain(error)
    except Exception as error:
        return explain(error)


def _was_interrupted(error: OSError) -> bool:
    """Whether click failed to write the line break after Ctrl-C."""
    return isinstance(error.__context__, KeyboardInterrupt)


def _check_text(arguments: Sequence[str]) -> None:
    """Refuse text that no command can use: half of a surrogate pair, or bytes of another encoding."""
    for argument in arguments:
        if any("\ud800" <= character <= "\udfff" for character in argument):
            raise click.UsageError(f"The argument {argument!r} is not valid UTF-8.")


def _usage(error: click.ClickException) -> int:
    if not isinstance(error, click.UsageError):
        failed(error.format_message())
        return error.exit_code
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        hint(error.format_message())
        return USAGE
    if error.ctx is not None:
        hint(error.ctx.get_usage() + "\n")
    if isinstance(error, click.MissingParameter) and error.param is not None:
        is_option = isinstance(error.param, click.Option)
        name = error.param.opts[0] if is_option else error.param.human_readable_name
        kind = "options" if is_option else "arguments"
        hint(f"The following {kind} are required but were not specified:\n  {name}")
        return USAGE
    failed(error.format_message())
    if error.ctx is not None:
        hint(f"See: {error.ctx.command_path} --help")
    return USAGE


def _flushed(code: int) -> int:
    """Flush standard output; return the code, or another one if the flush fails."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _closed_pipe()
    except OSError as error:
        return unwritable(error)
    return code


def _closed_pipe() -> int:
    _discard(sys.stdout)
    return NO_READER


def unwritable(error: OSError) -> int:
    """Report that the output or a file cannot be written, and return the exit code."""
    failed(f"Something cannot be written, the output or a file: {error.strerror}.")
    _discard(sys.stdout)
    return UNWRITABLE


def _settle(stream: TextIO) -> None:
    """Write what a stream still holds, or drop it: Python would exit with 120 if it could not write it at exit."""
    try:
        stream.flush()
    except OSError:
        _discard(stream)


def _discard(stream: TextIO) -> None:
    """Redirect a stream to nowhere: Python flushes it once more when it exits, and would report the error again."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def open_what_is_closed() -> None:
    """Open standard streams that were closed before the process began (`2>&-`) as the null device.

    Otherwise the next file or socket would get their number, and a library that writes to descriptor 2 would write into
    it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # POSIX gives the lowest number that is free
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  # open to the end


def _encode_anything(stream: TextIO | Any) -> None:
    """Write characters that the terminal's encoding lacks as escapes, instead of raising an error."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
