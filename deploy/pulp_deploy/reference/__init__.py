"""The pages in docs/reference that are made from the code: `python -m pulp_deploy.reference --write`."""

from pulp_deploy.reference.pages import PAGES, differences, write

__all__ = ["PAGES", "differences", "write"]
