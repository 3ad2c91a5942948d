"""Print generations of the read model and the steps of a rebuild."""

from typing import TYPE_CHECKING, Any, Final

import click
from pulp_console.output import show
from pulp_console.times import time_text

from pulp_deploy.commands import comparison
from pulp_deploy.exits import DIFFERENT

if TYPE_CHECKING:
    from pulp_processor.rebuilding.activation import Switched
    from pulp_processor.rebuilding.compare import Comparison
    from pulp_processor.rebuilding.generations import Generation

ROW: Final = ("GENERATION", "STATUS", "EVENTS", "DONE", "COMPARED", "ACTIVATED")


class StepReporter:
    """Prints the steps of a rebuild: for people one by one, for scripts all at the end."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._value: dict[str, Any] = {"generation": None, "comparison": None, "activation": None}

    def built(self, generation: int) -> None:
        self._step("generation", generation, [f"generation {generation} is ready"])

    def compared(self, found: "Comparison") -> bool:
        """Whether they are equal."""
        self._step("comparison", comparison.as_value(found), compared(found))
        return found.is_equal

    def activated(self, switched: "Switched") -> None:
        self._step("activation", switch(switched), [activated(switched)])

    def end(self) -> None:
        """Ends the command with `DIFFERENT` if a difference kept it from activating."""
        if self._output != "table":
            show(self._output, self._value, list)
        found = self._value["comparison"]
        if found is not None and not found["equal"]:
            raise click.exceptions.Exit(DIFFERENT)

    def _step(self, name: str, value: Any, lines: list[str]) -> None:
        self._value[name] = value
        if self._output == "table":
            show("table", value, lambda: lines)


def compared(found: "Comparison") -> list[str]:
    """Report the comparison of the generation that is ready."""
    return comparison.page(found, ("ACTIVE", "NEW"), [f"  {example}" for example in found.examples])


def activated(switched: "Switched") -> str:
    """Report an activation."""
    return f"generation {switched.now} is active; generation {switched.before} is kept for a rollback"


def switch(switched: "Switched") -> dict[str, Any]:
    """Return an activation or a rollback as a value for scripts."""
    return {"active": switched.now, "before": switched.before}


def as_value(generation: "Generation") -> dict[str, Any]:
    """Return a generation as a value for scripts."""

    def text(at: Any) -> str | None:
        return time_text(at) if at else None

    return {
        "generation": generation.number,
        "status": generation.status,
        "events": sum(generation.positions.values()),
        "percent": round(generation.percent, 1),
        "created_at": text(generation.created_at),
        "verified_at": text(generation.verified_at),
        "activated_at": text(generation.activated_at),
        "accepted": list(generation.accepted),
    }


def row(generation: dict[str, Any]) -> list[str]:
    """Return a generation as a row of the table with the heads `ROW`."""
    return [
        str(generation["generation"]),
        generation["status"],
        str(generation["events"]),
        f"{generation['percent']:.0f} %",
        generation["verified_at"] or "-",
        generation["activated_at"] or "-",
    ]
