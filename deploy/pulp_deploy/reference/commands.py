"""docs/reference/commands.md: each command with its arguments, options and examples, from click."""

import re
from collections.abc import Iterator
from inspect import cleandoc
from typing import Final

import click

from pulp_deploy.reference.markdown import code, indented, table

_HEAD: Final = """# Commands

`pulp-admin` is for users of the API, `pulp-tasks` for those who run an installation. Every command takes `--help`.
This page is made from the code: `python -m pulp_deploy.reference --write`.

[Output](output.md) and [output of pulp-admin](output-of-pulp-admin.md) describe what the commands print, [exit
codes](exit-codes.md) how they end. `pulp-admin submit OPERATION --help` shows the arguments of an operation, which
the server knows.
"""
_LEFT_OUT: Final = frozenset({"help", "version"})
_NOTES: Final = re.compile(r"  \[([^\]]*(?:\[[^\]]*\])*[^\]]*)\]$")


def text() -> str:
    """The page."""
    return "".join([_HEAD, *(_section(context) for context in contexts())])


def contexts() -> Iterator[click.Context]:
    """Every command and group of both programs, as click calls it."""
    from pulp_admin.main import cli as pulp_admin

    from pulp_deploy.main import pulp_tasks

    for name, root in (("pulp-admin", pulp_admin), ("pulp-tasks", pulp_tasks)):
        yield from _below(click.Context(root, info_name=name))


def _below(context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            assert command is not None
            yield from _below(click.Context(command, info_name=name, parent=context))


def _section(context: click.Context) -> str:
    command, path, is_root = context.command, context.command_path, context.parent is None
    parts = [f"\n{'##' if is_root else '###'} {path}\n\n{_prose(command.help)}\n"]
    if not isinstance(command, click.Group) or command.invoke_without_command:
        usage = " ".join(command.collect_usage_pieces(context))
        parts.append(f"\n{indented(f'{path} {usage}')}")
    parts.append(table(("option", "default", "meaning"), _options(context)))
    if not isinstance(command, click.Group):
        parts.append(f"\n{_examples(command.epilog)}")
    return "".join(parts)


def _options(context: click.Context) -> Iterator[tuple[str, str, str]]:
    for option in context.command.params:
        record = option.get_help_record(context) if isinstance(option, click.Option) else None
        if record is None or option.name in _LEFT_OUT:
            continue
        names, meaning = record
        found = _NOTES.search(meaning)
        default = ""
        if found:
            notes = found[1].split("; ")
            default = "".join(note.removeprefix("default: ") for note in notes if note.startswith("default: "))
            others = [f"({note})" for note in notes if not note.startswith("default: ")]
            meaning = " ".join([meaning[: found.start()], *others])
        yield code(names), code(default), meaning


def _examples(epilog: str | None) -> str:
    """The lines below `Example:` or `Examples:`."""
    _, _, lines = (epilog or "").partition(":\n")
    return indented(cleandoc(lines))


def _prose(text: str | None) -> str:
    """The paragraphs of a help text; click's mark of those that keep their lines is left out."""
    return re.sub(r"^\x08\n", "", cleandoc(text or ""), flags=re.MULTILINE)
