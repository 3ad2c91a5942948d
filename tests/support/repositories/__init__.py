"""Yum repositories of any shape, for tests: from what they hold to the files on disk.

    Repository(rpms=[Rpm("ant"), Rpm("bee")], compression="zst").write(folder)

`Repository.edits` changes a document's text before it is packed, so that a shape that no tool writes takes one line.
"""

from tests.support.repositories.model import Advisory, Changelog, Dependency, Group, Rpm
from tests.support.repositories.writing import Repository

__all__ = ["Advisory", "Changelog", "Dependency", "Group", "Repository", "Rpm"]
