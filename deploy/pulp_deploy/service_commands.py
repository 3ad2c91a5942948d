"""How to run the services of a stack: the API, processors, workers, and what keeps the log."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from pulp_deploy.folder import DataFolder
from pulp_deploy.local.processes import Command
from pulp_deploy.unprivileged import Unprivileged

_METRICS_PORT: Final = "PULP_METRICS_PORT"
_LOG_AT: Final = 99
_WORKERS_FROM: Final = 100
"""How far the ports of the workers' metrics are from the API's, so that they stay when a processor is added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The commands, by kind. With more than one of a kind, their names are numbered from 1."""

    folder: DataFolder
    unprivileged: Unprivileged
    environment: Mapping[str, str]
    """What all of them get."""

    def api(self, host: str, port: int) -> Command:
        """The one API."""
        command = self._command("api", "api", {"PULP_API_HOST": host, "PULP_API_PORT": str(port)})
        return replace(command, account=self.unprivileged.for_port(port))

    def processors(self, count: int) -> Iterable[Command]:
        """The given number of processors."""
        for number, name in enumerate(_numbered("processor", count), 1):
            yield self._command(name, "processor", {"PULP_PROCESSOR_INSTANCE": name}, metrics=number)

    def workers(self, count: int, *, concurrency: int) -> Iterable[Command]:
        """The given number of workers, each of which runs `concurrency` tasks at once."""
        for number, name in enumerate(_numbered("worker", count)):
            more = {"PULP_WORKER_NAME": name, "PULP_WORKER_CONCURRENCY": str(concurrency)}
            yield self._command(name, "worker", more, metrics=_WORKERS_FROM + number)

    def transparency(self) -> Command:
        """The one process that keeps the log."""
        return self._command("transparency", "transparency", {}, metrics=_LOG_AT)

    def _command(self, name: str, command: str, more: Mapping[str, str], *, metrics: int = 0) -> Command:
        """`metrics` is the distance of its metrics port from the requested one."""
        port = self.environment.get(_METRICS_PORT, "").strip()
        if port.isdecimal():  # otherwise the process itself reports the fault
            more = {**more, _METRICS_PORT: str(int(port) + metrics)}
        return Command(
            name=name,
            arguments=[sys.executable, "-m", "pulp_deploy", command],
            log=self.folder.logs / f"{name}.log",
            environment=self.unprivileged.environment({**self.environment, **more}),
            folder=self.folder.path,
            account=self.unprivileged.account,
        )


def _numbered(kind: str, count: int) -> list[str]:
    return [kind] if count == 1 else [f"{kind}-{number}" for number in range(1, count + 1)]
