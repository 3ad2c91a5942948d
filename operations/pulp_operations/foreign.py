"""Texts of foreign documents: which ones messages may show, and how a document is refused."""

import re
from typing import Final

from pulp_worker import OperationError

ALGORITHMS: Final = {
    "md5": "md5",
    "sha": "sha1",  # as repositories of 2012 call it
    "sha1": "sha1",
    "sha224": "sha224",
    "sha256": "sha256",
    "sha384": "sha384",
    "sha512": "sha512",
}
"""The names that yum repositories give to checksums, and hashlib's names for them."""
_ORDINARY: Final = re.compile(r"(?!.*://)[A-Za-z0-9._+~^%/:-]{1,200}")


def is_ordinary(text: str) -> bool:
    """Whether messages may show the text: only an ordinary name or relative href."""
    return bool(_ORDINARY.fullmatch(text))


def shown_href(href: str, checksum: str) -> str:
    """A package in a message: its href if that is ordinary text, else its checksum."""
    return href if is_ordinary(href) else f"the package with checksum {checksum}"


def bad_repository(reason: str) -> OperationError:
    """The error for a feed that is not a repository, or is not safe. `reason` contains no text of the feed."""
    return OperationError("bad-repository", reason)
