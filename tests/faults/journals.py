"""Reads the operations' journals: which attempt worked on which resource, and when."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

FROZEN_NS: Final = 4_000_000_000
"""An operation without a line for this long was stopped: every step is far shorter."""


@dataclass
class Use:
    """One attempt's work on one resource."""

    resource: str
    task: str
    attempt: str
    mode: str
    token: int
    began_ns: int
    steps_ns: list[int] = field(default_factory=list)
    is_refused: bool = False

    @property
    def last_ns(self) -> int:
        """The time of its last line. It may have been killed at any time afterwards."""
        return self.steps_ns[-1]

    def awake_after(self, at_ns: int) -> int:
        """For how many nanoseconds it worked after a moment, or after it woke if it was stopped at that moment."""
        before = max((step for step in self.steps_ns if step <= at_ns), default=self.began_ns)
        after = [step for step in self.steps_ns if step > at_ns]
        if not after:
            return 0
        return after[-1] - (after[0] if after[0] - before > FROZEN_NS else at_ns)

    def was_frozen_at(self, at_ns: int) -> bool:
        """Whether it was stopped at a moment."""
        before = max((step for step in self.steps_ns if step <= at_ns), default=self.began_ns)
        after = min((step for step in self.steps_ns if step > at_ns), default=before)
        return after - before > FROZEN_NS


class Overlap(NamedTuple):
    """Two conflicting attempts that worked on one resource at the same time."""

    resource: str
    first: Use
    second: Use

    @property
    def is_zombie(self) -> bool:
        """Whether the first was stopped when the second began, and woke while that worked."""
        return self.first.was_frozen_at(self.second.began_ns)

    @property
    def awake_ms(self) -> float:
        """How long the first worked at the same time as the second."""
        return self.first.awake_after(self.second.began_ns) / 1e6


def read_journals(storage: Path) -> list[dict[str, Any]]:
    """All lines of all files."""
    return [
        json.loads(line) for path in sorted((storage / "journal").glob("*")) for line in path.read_text().splitlines()
    ]


def uses(lines: Iterable[dict[str, Any]]) -> list[Use]:
    """The lines of each attempt on each resource, together; in order of their beginning."""
    found: dict[tuple[str, str], Use] = {}
    for line in lines:
        key = (line["resource"], line["attempt"])
        use = found.get(key)
        if use is None:
            use = found[key] = Use(
                line["resource"], line["task"], line["attempt"], line["mode"], line["token"], line["at_ns"]
            )
        if line["what"] == "refused":
            use.is_refused = True
        else:
            use.steps_ns.append(line["at_ns"])
    return sorted(found.values(), key=lambda use: use.began_ns)


def overlaps(found: Iterable[Use]) -> list[Overlap]:
    """Conflicting pairs that worked at the same time."""
    by_resource: dict[str, list[Use]] = defaultdict(list)
    pairs = []
    for use in found:
        for other in by_resource[use.resource]:
            conflicts = "exclusive" in (use.mode, other.mode)
            if conflicts and other.steps_ns and other.last_ns > use.began_ns:
                pairs.append(Overlap(use.resource, other, use))
        by_resource[use.resource].append(use)
    return pairs
