"""Write the reference pages, or check that they match the code."""

import argparse
import sys

from pulp_deploy.reference import differences, write


def main(arguments: list[str]) -> int:
    """1 if a check finds a page that differs."""
    parser = argparse.ArgumentParser(prog="python -m pulp_deploy.reference", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write all pages")
    action.add_argument("--check", action="store_true", help="name the pages that differ from the code")
    if parser.parse_args(arguments).write:
        write()
        return 0
    found = differences()
    for path in found:
        print(f"{path} differs from the code: run python -m pulp_deploy.reference --write", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
