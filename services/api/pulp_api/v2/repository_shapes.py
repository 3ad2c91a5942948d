"""How the v2 dialect shows repositories. Pure."""

from typing import Any, Final, NamedTuple
from urllib.parse import quote

from pulp_projections.repositories import RepositoryRun

from pulp_api.repositories import ShownRepository
from pulp_api.respond import second
from pulp_api.v2.dialect import ROOT
from pulp_api.v2.report import oid_of
from pulp_api.v2.repository_bodies import DISTRIBUTOR, IMPORTER, KIND

_UNITS: Final = {
    "packages": "rpm",
    "errata": "erratum",
    "package_groups": "package_group",
    "modules": "modulemd",
}
"""The count that a sync reports → Pulp 2's unit type."""


def href_of_repository(repo_id: str) -> str:
    """The address of a repository."""
    return f"{ROOT}/repositories/{quote(repo_id, safe='')}/"


class Parts(NamedTuple):
    """The parts that are shown with a repository."""

    importers: bool
    distributors: bool

    def of(self, shown: ShownRepository) -> dict[str, Any]:
        """The parts of a repository, by name."""
        importers = {"importers": [importer(shown)]} if self.importers else {}
        return importers | ({"distributors": [distributor(shown)]} if self.distributors else {})


def shape(shown: ShownRepository) -> dict[str, Any]:
    """A repository, without its parts."""
    record, runs = shown
    units = {kind: shown.counts[name] for name, kind in _UNITS.items() if shown.counts.get(name)}
    total = sum(units.values())
    return {
        "_href": href_of_repository(record.repo_id),
        "_id": {"$oid": oid_of(record.pulp_id)},
        "_ns": "repos",
        "id": record.repo_id,
        "display_name": record.display_name or record.repo_id,
        "description": record.description,
        "notes": {**record.notes, **KIND},
        "content_unit_counts": units,
        "content_unit_count": total,
        "total_repository_units": total,
        "locally_stored_units": total,
        "last_unit_added": _finished(runs.synced),
        "last_unit_removed": None,
        "scratchpad": {},
    }


def importer(shown: ShownRepository) -> dict[str, Any]:
    """Its importer."""
    record, runs = shown
    return {
        "id": IMPORTER,
        "repo_id": record.repo_id,
        "importer_type_id": IMPORTER,
        "config": {**({} if shown.feed is None else {"feed": shown.feed}), **record.sync_options},
        "last_sync": _finished(runs.sync),
        "scratchpad": None,
        "_href": f"{href_of_repository(record.repo_id)}importers/{IMPORTER}/",
        "_ns": "repo_importers",
    }


def distributor(shown: ShownRepository) -> dict[str, Any]:
    """Its distributor."""
    record, runs = shown
    return {
        "id": DISTRIBUTOR,
        "repo_id": record.repo_id,
        "distributor_type_id": DISTRIBUTOR,
        "auto_publish": False,
        "config": {"relative_url": record.repo_id, **record.publish_options},
        "last_publish": _finished(runs.published),
        "scratchpad": None,
        "_href": f"{href_of_repository(record.repo_id)}distributors/{DISTRIBUTOR}/",
        "_ns": "repo_distributors",
    }


def _finished(run: RepositoryRun | None) -> str | None:
    return None if run is None else second(run.finished_at)
