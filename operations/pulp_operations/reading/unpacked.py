"""How large a file of metadata may become."""

from msgspec import Struct


class UnpackLimits(Struct, frozen=True):
    """How large one file of metadata may become."""

    most_bytes: int
    most_ratio: int
