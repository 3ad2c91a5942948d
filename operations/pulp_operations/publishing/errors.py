"""Why a version of a repository cannot be published, and what to do about it."""

from pulp_worker import OperationError


def damaged_version(reason: str) -> OperationError:
    """The error for a stored file that has changed since the sync."""
    return OperationError(
        "damaged-version",
        f"what the store has of this version of the repository is damaged: {reason}. Repair the repository, then"
        " publish it again",
    )


def bad_publication(reason: str) -> OperationError:
    """The error for a version from which no publication can be created."""
    return OperationError("bad-publication", f"{reason}. Sync the repository again, then publish it")


def not_mirrorable(reason: str) -> OperationError:
    """The error for a version that cannot be published with the feed's own metadata."""
    return OperationError(
        "not-mirrorable",
        f"the metadata of this repository cannot be published as it was received: {reason}. Publish it with"
        " regenerated metadata",
    )
