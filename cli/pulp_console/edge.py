"""The edge of a command: every error becomes a message and an exit code, never a traceback."""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, TextIO

import click

from pulp_console import completion
from pulp_console.exits import INTERRUPTED, NO_READER, UNWRITABLE, USAGE
from pulp_console.output import failed

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def run(
    command: click.Command,
    arguments: Sequence[str] | None,
    *,
    program: str,
    explain: Callable[[Exception], int],
    obj: object = None,
) -> int:
    """Run a command line; its exit code. `explain` says what went wrong, and with which exit code."""
    for stream in (sys.stdout, sys.stderr):
        _encode_anything(stream)
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
    except BrokenPipeError:
        return _closed_pipe()
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # click's own end of such a command is 1
            return _closed_pipe()
        raise
    except OSError as error:
        return _unwritable(error) if error.errno in _FULL else explain(error)
    except Exception as error:
        return explain(error)


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
        click.echo(error.format_message(), err=True)
        return USAGE
    if error.ctx is not None:
        click.echo(error.ctx.get_usage() + "\n", err=True)
    if isinstance(error, click.MissingParameter) and error.param is not None:
        is_option = isinstance(error.param, click.Option)
        name = error.param.opts[0] if is_option else error.param.human_readable_name
        kind = "options" if is_option else "arguments"
        click.echo(f"The following {kind} are required but were not specified:\n  {name}", err=True)
        return USAGE
    failed(error.format_message())
    if error.ctx is not None:
        click.echo(f"See: {error.ctx.command_path} --help", err=True)
    return USAGE


def _flushed(code: int) -> int:
    """Flush standard output; return the code, or another one if the flush fails."""
    try:
        if sys.stdout is not None:  # standard output was closed before the command began
            sys.stdout.flush()
    except BrokenPipeError:
        return _closed_pipe()
    except OSError as error:
        return _unwritable(error)
    return code


def _closed_pipe() -> int:
    _discard_output()
    return NO_READER


def _unwritable(error: OSError) -> int:
    failed(f"Something cannot be written, the output or a file: {error.strerror}.")
    _discard_output()
    return UNWRITABLE


def _discard_output() -> None:
    """Redirect standard output to nowhere: Python flushes it once more at its end, and would report the error again."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _encode_anything(stream: TextIO | Any) -> None:
    """A character that the terminal's encoding lacks is written as its escape, rather than raised."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
