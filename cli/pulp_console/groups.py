"""Command groups and choices that suggest similar names."""

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

import click


def suggestion(word: str, known: Iterable[str]) -> str:
    """` Did you mean 'sync'?`, or nothing if no known word is similar."""
    import difflib  # slow to import, and only for mistakes

    near = difflib.get_close_matches(word.lower(), list(known), n=3, cutoff=0.6)
    if not near:
        return ""
    return f" Did you mean {' or '.join(repr(item) for item in near)}?"


def examples(*lines: str) -> str:
    """The epilog of a command: its examples, one on each line, never broken."""
    return "\n".join(["\b", "Example:" if len(lines) == 1 else "Examples:", *(f"  {line}" for line in lines)])


class Group(click.Group):
    """A group that suggests a command for an unknown one.

    For commands that only another program has, `elsewhere` says what to do instead.
    """

    group_class = type

    def __init__(self, *args: Any, elsewhere: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._elsewhere = elsewhere or {}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            instead = self._elsewhere.get(args[0])
            error.message += f" {instead}" if instead else suggestion(args[0], self.list_commands(ctx))
            raise


class LazyGroup(Group):
    """A group whose commands are imported when they are called or listed; `places` has a `module:name` for each."""

    def __init__(self, *args: Any, places: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._places:
            return None
        module, name = self._places[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


class Choice(click.Choice[str]):
    """A choice of words, in any case, that suggests a word for an unknown one."""

    def __init__(self, choices: Iterable[str]) -> None:
        super().__init__(list(choices), case_sensitive=False)

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        return (
            super().get_invalid_choice_message(value, ctx).removesuffix(".")
            + "."
            + suggestion(str(value), self.choices)
        )
