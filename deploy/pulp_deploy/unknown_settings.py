"""Names in the environment that look like settings but are not: most likely they are misspelled."""

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pulp_events.declared_settings import words

NAMES: Final = Path(__file__).with_name("setting_names.txt")
"""All settings of all processes and of the client. `python -m pulp_deploy.reference` makes the file, so that a process
need not load the packages of the others."""
_MORE: Final = "PULP_WORKER_ENVIRONMENT"
"""Names variables for operations, which may begin with PULP_ as well."""
_LINK: Final = re.compile(r"\w+_(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)")
"""What Kubernetes sets in each container for a service that is called pulp-…"""
_log = logging.getLogger("pulp")


def warn_of_unknown(env: Mapping[str, str]) -> None:
    """Log a warning for each name that begins with PULP_ and is not a setting, with the one that was probably meant."""
    for name, meant in unknown(env):
        question = f"; did you mean {meant}?" if meant else ""
        _log.warning("%s is not a setting%s", name, question)


def unknown(env: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """Such names, each with the setting that was probably meant."""
    known = NAMES.read_text(encoding="utf-8").split()
    for name in sorted(env.keys() - set(known) - set(words(env.get(_MORE, "")))):
        if name.startswith("PULP_") and not _LINK.fullmatch(name):
            yield name, _nearest(name, known)


def _nearest(name: str, known: list[str]) -> str | None:
    from difflib import get_close_matches  # slow to import, and only for mistakes

    return next(iter(get_close_matches(name.upper(), known, n=1, cutoff=0.8)), None)
