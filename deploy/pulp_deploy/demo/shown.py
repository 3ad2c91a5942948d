"""The output of the demonstration: each step, the commands as one would type them, and the checks."""

import time
from collections.abc import Sequence

import click


class Shown:
    """Prints, and counts the checks that passed and failed."""

    def __init__(self) -> None:
        self.held = 0
        self.failed: list[str] = []
        self._started = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Since the demonstration began."""
        return time.monotonic() - self._started

    def step(self, letter: str, title: str, explanation: str) -> None:
        """Begin a step; one line says what it does."""
        click.echo()
        click.secho(f"({letter}) {title}", bold=True)
        click.echo(explanation)
        click.echo()

    def command(self, words: Sequence[str]) -> None:
        """Show a command before it runs."""
        click.secho(f"$ {' '.join(words)}", fg="cyan")

    def output(self, text: str) -> None:
        """Show a command's output without trailing blank lines."""
        if text.strip():
            click.echo(text.rstrip())

    def note(self, text: str) -> None:
        """Show something that happens alongside the commands."""
        click.secho(f"# {text}", dim=True)

    def check(self, what: str, holds: bool, otherwise: object = "") -> None:
        """Report whether a check passed; `otherwise` describes the actual result."""
        if holds:
            self.held += 1
            click.echo(f"{click.style('held', fg='green')}    {what}")
        else:
            self.failed.append(what)
            click.echo(f"{click.style('FAILED', fg='red', bold=True)}  {what}: {otherwise}")

    def summary(self, what: str) -> None:
        """The last line."""
        click.echo()
        if self.failed:
            click.secho(f"{len(self.failed)} of {self.held + len(self.failed)} checks FAILED:", fg="red", bold=True)
            for each in self.failed:
                click.echo(f"  {each}")
        else:
            click.secho(f"All {self.held} checks held: {what} ({self.elapsed_s:.0f} s)", fg="green", bold=True)
