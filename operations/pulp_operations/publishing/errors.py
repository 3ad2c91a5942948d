"""Why a version of a repository cannot be published, and what to do about it."""

from pulp_worker import OperationError


def damaged_version(reason: str) -> OperationError:
    """The error for what the store has of a version, and that changed since it was synced."""
    return OperationError(
        "damaged-version",
        f"what the store has of this version of the repository is damaged: {reason}. Repair the repository, then"
        " publish it again",
    )


def bad_publication(reason: str) -> OperationError:
    """The error for a version that no publication can be made of."""
    return OperationError("bad-publication", f"{reason}. Sync the repository again, then publish it")


def not_mirrorable(reason: str) -> OperationError:
    """The error where a publication with the feed's own metadata is not possible."""
    return OperationError(
        "not-mirrorable",
        f"the metadata of this repository cannot be published as it was received: {reason}. Publish it with"
        " regenerated metadata",
    )
