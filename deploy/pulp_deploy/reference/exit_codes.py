"""docs/reference/exit-codes.md: what each exit code means, and which errors end with it."""

from collections.abc import Iterator
from typing import Final

from pulp_admin.exits import MEANINGS as ADMIN_MEANINGS
from pulp_console import exits
from pulp_events.errors import PulpError

from pulp_deploy.exits import DANGEROUS, DIFFERENT, MEANINGS, codes
from pulp_deploy.reference.markdown import code, table

KINDS: Final = {
    0: "done",
    DIFFERENT: "the answer is no",
    DANGEROUS: "danger",
    3: "cancelled",
    4: "skipped",
    exits.USAGE: "usage",
    exits.DATA: "data",
    exits.NO_INPUT: "no input",
    exits.UNAVAILABLE: "unavailable",
    exits.SOFTWARE: "software",
    exits.IN_USE: "in use",
    exits.UNWRITABLE: "unwritable",
    exits.TEMPORARY: "temporary",
    exits.DENIED: "denied",
    exits.CONFIG: "configuration",
    exits.INTERRUPTED: "interrupted",
    exits.NO_READER: "no reader",
}
_HEAD: Final = """# Exit codes

Codes from 64 on are those of `sysexits.h`, and what a shell reports of a signal. This page is made from the code:
`python -m pulp_deploy.reference --write`.
"""
_ERRORS: Final = """
## Errors of pulp-tasks and the processes

An error ends a command or a process with the code of its class, or of the nearest class above it. Its message goes
to standard error: it says what is wrong, where, and what to do. Any other error ends with 70.
"""
_PROBE: Final = """
## pulp-tasks-probe

`pulp-tasks-probe live|ready`, for the probes of containers, prints a reason on standard error, or nothing. It ends
with 0 (yes), 1 (no), 64 (usage) or 78 (`PULP_HEARTBEAT` is not set): [containers](../operate/containers.md).
"""


def text() -> str:
    """The page."""
    rows = (
        (str(number), kind, MEANINGS.get(number, ""), ADMIN_MEANINGS.get(number, "")) for number, kind in KINDS.items()
    )
    meanings = table(("code", "kind", "`pulp-tasks`", "`pulp-admin`"), rows)
    return "".join([_HEAD, meanings, _ERRORS, table(("code", "error", "meaning"), _errors()), _PROBE])


def _errors() -> Iterator[tuple[str, str, str]]:
    for kind, number in sorted(codes().items(), key=lambda item: (item[1], item[0].__name__)):
        yield str(number), code(kind.__name__), _sentence(kind)


def _sentence(kind: type[PulpError]) -> str:
    """The first paragraph of an error's docstring."""
    return (kind.__doc__ or "").strip().partition("\n\n")[0]
