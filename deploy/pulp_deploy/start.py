"""The entry point of `pulp-tasks`. Imports only the standard library, so that it can name a package that is not
installed."""

import os
import sys
from typing import Never

from pulp_deploy.extras import missing


def main() -> Never:
    """Run the command line; exit with 69 if a required package is not installed."""
    try:
        from pulp_console.loading import quiet_interrupts

        with quiet_interrupts():
            from pulp_deploy.main import main as run
    except ModuleNotFoundError as error:
        if (said := missing(error)) is None:
            raise
        print(f"pulp-tasks: {said}", file=sys.stderr)
        sys.exit(os.EX_UNAVAILABLE)
    run()
