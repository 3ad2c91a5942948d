"""What goes wrong with a repository."""


class FetchFailed(Exception):
    """Something could not be fetched; trying again does not help, or was done."""
