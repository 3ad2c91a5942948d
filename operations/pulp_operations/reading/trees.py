"""`.treeinfo`, the table of contents of an installable tree."""

from pulp_operations.records import TreeFile


def read_treeinfo(content: bytes) -> list[TreeFile]:
    """The files that `.treeinfo` (or `treeinfo`) names, each once, by path; not the repositories of its variants.

    Raises `OperationError` (`bad-repository`) for a document that is none.
    """
    raise NotImplementedError
