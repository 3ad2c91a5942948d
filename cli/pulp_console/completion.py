"""Completion of command lines by the shell."""

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")
_FILES = {"bash": "~/.bashrc", "zsh": "~/.zshrc", "fish": "~/.config/fish/config.fish"}


def completion_command(program: str) -> click.Command:
    """The command that prints a shell's completion script for `program`."""

    @click.command("completion", epilog=f"Example: {program} completion bash >> {_FILES['bash']}")
    @click.argument("shell", type=click.Choice(SHELLS))
    def completion(shell: str) -> None:
        """Print the script with which a shell completes this command."""
        root = click.get_current_context().find_root().command
        kind = get_completion_class(shell)
        assert kind is not None
        variable = f"_{program.replace('-', '_')}_complete".upper()
        click.echo(kind(root, {}, program, variable).source())

    return completion
