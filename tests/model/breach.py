"""What a schedule is looking for."""


class Breach(AssertionError):
    """A promise is broken."""
