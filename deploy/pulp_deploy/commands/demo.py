"""`pulp-tasks demo`: a tour of the whole system."""

import click
from pulp_console.groups import examples

from pulp_deploy.exits import DIFFERENT


@click.command(epilog=examples("pulp-tasks demo --keep"))
@click.option("--keep", is_flag=True, help="Leave everything running at the end, and say how to continue.")
def demo(keep: bool) -> None:
    """Demonstrate the user guide on a separate system.

    That system has a real Kafka, a real Postgres and real yum repositories, in a folder of its own and on free ports.
    Exits 0 only if every check passed.
    """
    from pulp_deploy.demo.show import show_everything

    if not show_everything(keep=keep):
        raise click.exceptions.Exit(DIFFERENT)
