"""Writes yum repositories of any shape for tests.

    Repository(rpms=[Rpm("ant"), Rpm("bee")], compression="zst").write(folder)

`Repository.edits` changes a document's text before it is packed, so that unusual shapes take one line.
"""

from tests.support.repositories.model import Advisory, Changelog, Dependency, Group, Rpm
from tests.support.repositories.writing import Repository

__all__ = ["Advisory", "Changelog", "Dependency", "Group", "Repository", "Rpm"]
