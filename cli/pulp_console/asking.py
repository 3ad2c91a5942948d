"""Asks before an action that cannot be undone."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from pulp_console.output import hint

F = TypeVar("F", bound=Callable[..., Any])
DECLINED = 1
"""The exit code where the answer was no."""


def yes_option(command: F) -> F:
    """Adds `--yes`, which a script gives in place of an answer."""
    return click.option("--yes", "-y", "is_sure", is_flag=True, help="Do not ask; for scripts.")(command)


def confirm(question: str, *, is_sure: bool) -> None:
    """Returns if the user agrees. Ends the command with `DECLINED` for a no, and with a usage error if nobody can be
    asked."""
    if is_sure:
        return
    if not can_ask():
        raise click.UsageError(f"{question} There is no terminal to ask on: add --yes to do it.")
    if not click.confirm(question, err=True):
        hint("Nothing was done.")
        raise click.exceptions.Exit(DECLINED)


def confirm_number(question: str, number: int) -> None:
    """Like `confirm`, for actions on many items: the user must type the number. No option gives the answer."""
    if not can_ask():
        raise click.UsageError(f"{question} There is no terminal to ask on.")
    answer = click.prompt(f"{question} Type {number} to go on", default="", show_default=False, err=True)
    if answer.strip().replace(",", "") != str(number):
        hint("Nothing was done.")
        raise click.exceptions.Exit(DECLINED)


def can_ask() -> bool:
    """Whether standard input is a terminal, so that somebody can answer."""
    return sys.stdin.isatty()
