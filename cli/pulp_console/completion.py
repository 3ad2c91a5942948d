"""Completion of command lines by the shell."""

import os
from typing import Final

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

from pulp_console.groups import Choice, examples

SHELLS: Final = ("bash", "zsh", "fish")
_BASH: Final = """\
%(complete_func)s() {
    local IFS=$'\\n' completion type value
    COMPREPLY=()
    for completion in $(env COMP_WORDS="${COMP_LINE:0:COMP_POINT}" COMP_BREAKS="$COMP_WORDBREAKS" \\
            %(complete_var)s=bash_complete "$1" 2>/dev/null); do
        IFS=',' read -r type value <<< "$completion"
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class Bash(BashComplete):
    """Completion in bash of words with a colon or an equals sign, at which bash breaks words.

    The script passes the line up to the cursor; bash replaces only the part after the last break.
    """

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)
        return (words[1:], "") if line[-1:].isspace() else (words[1:-1], words[-1])

    def format_completion(self, item: CompletionItem) -> str:
        _, word = self.get_completion_args()
        breaks = set(":=") & set(os.environ.get("COMP_BREAKS", ""))
        kept = max((word.rfind(character) + 1 for character in breaks), default=0)
        value = str(item.value)
        return f"{item.type},{value[kept:] if value.startswith(word[:kept]) else value}"


def variable(program: str) -> str:
    """The environment variable by which a shell asks `program` for completions."""
    return f"_{program.replace('-', '_')}_complete".upper()


def set_up_completion() -> None:
    """Register the completion of this module with click. Call it before a command runs."""
    add_completion_class(Bash, "bash")


def completion_command(program: str) -> click.Command:
    """The command that prints a shell's completion script for `program`."""

    @click.command(
        "completion",
        epilog=examples(
            f"{program} completion bash >> ~/.bashrc",
            f"{program} completion zsh >> ~/.zshrc",
            f"{program} completion fish > ~/.config/fish/completions/{program}.fish",
        ),
    )
    @click.argument("shell", type=Choice(SHELLS))
    def completion(shell: str) -> None:
        """Print the shell script that completes this command."""
        set_up_completion()
        root = click.get_current_context().find_root().command
        kind = get_completion_class(shell)
        assert kind is not None
        click.echo(kind(root, {}, program, variable(program)).source())

    return completion
