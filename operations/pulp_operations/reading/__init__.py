"""Reading what feeds have written, and turning it into metadata of our own: in isolated processes only.

Nothing of these documents is in an error: where they come from may be somewhere that the submitter cannot see.
"""

from pulp_operations.reading.normalising import Normalised, Normalising, normalise
from pulp_operations.reading.sources import UnpackLimits
from pulp_operations.reading.table import read_repomd
from pulp_operations.reading.trees import read_treeinfo

__all__ = ["Normalised", "Normalising", "UnpackLimits", "normalise", "read_repomd", "read_treeinfo"]
