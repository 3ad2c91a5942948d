"""The entry point of `pulp-admin`."""

from typing import Never

from pulp_console.loading import quiet_interrupts


def main() -> Never:
    """Load the command line, and run it."""
    with quiet_interrupts():
        from pulp_admin.main import main as run
    run()
