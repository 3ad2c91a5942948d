"""The parts that all commands share: the client, created on first use, and the output format."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from pulp_console.groups import Choice
from pulp_console.output import OUTPUTS, hint

from pulp_admin.config import read_config
from pulp_admin.settings import USERNAME

if TYPE_CHECKING:
    from pulp_admin.client import Client

F = TypeVar("F", bound=Callable[..., Any])
WIDE_OUTPUTS: Final = (*OUTPUTS, "wide")
"""The values of `--output`. A command without a wide page prints its table for `wide`."""


@dataclass
class App:
    """One run of `pulp-admin`."""

    flags: dict[str, Any]
    output: str = "table"
    verbosity: int = 0
    """How often `-v` was given."""
    make_client: "Callable[[App], Client] | None" = None
    _client: "Client | None" = field(default=None, repr=False)

    def doubt(self) -> str:
        """A remark for an unexpected error if the server may be a different program; empty otherwise."""
        if self._client is None or self._client.is_known:
            return ""
        return f" The server does not answer as Pulp Tasks does: is {self._client.url} the Pulp server?"

    @property
    def client(self) -> "Client":
        """The client of the configured server. Raises `Failure`."""
        if self._client is None:
            self._client = _connect(self) if self.make_client is None else self.make_client(self)
        return self._client

    @property
    def username(self) -> str | None:
        """The user from the options or the environment; None without either."""
        return self.flags.get(USERNAME.key) or os.environ.get(USERNAME.variable) or None


def _connect(app: App) -> "Client":
    # The HTTP library is slow to import, so --help does without it. Half of the time is its own command line: skip it.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None: "there is no such module"
    from pulp_admin.client import Client

    config, warnings = read_config(app.flags, os.environ)
    for warning in warnings:
        hint(warning)
    if config.token is None and config.username is not None and config.password is None and sys.stdin.isatty():
        config = replace(config, password=click.prompt(f"Password of {config.username}", hide_input=True, err=True))
    return Client(config, verbosity=app.verbosity)


def with_app(command: F) -> F:
    """A command that gets the `App`, and takes `--output` after its name as well as before it."""
    return _with_output(command, OUTPUTS)


def with_app_wide(command: F) -> F:
    """The same, for a command that also has a page of one line an item: `--output wide`."""
    return _with_output(command, WIDE_OUTPUTS)


def _with_output(command: F, outputs: Sequence[str]) -> F:
    def set_output(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
        app = context.find_root().obj
        if value is not None and isinstance(app, App):  # shell completion has no App
            app.output = value

    option = click.option(
        "--output",
        type=Choice(outputs),
        expose_value=False,
        callback=set_output,
        help="Output format.",
    )
    return option(click.pass_obj(command))  # type: ignore[return-value]  # click keeps the command's signature
