"""Where `pulp-tasks` starts. It needs nothing but Python, so that it can say which package is not installed."""

import os
import sys
from typing import Never

from pulp_deploy.extras import missing


def main() -> Never:
    """Run the command line; exit code 69 if a package that it needs is not installed."""
    try:
        from pulp_deploy.main import main as run
    except ModuleNotFoundError as error:
        if (said := missing(error)) is None:
            raise
        print(f"pulp-tasks: {said}", file=sys.stderr)
        sys.exit(os.EX_UNAVAILABLE)
    run()
