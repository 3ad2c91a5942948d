"""The software bill of materials: CycloneDX JSON, made whenever a wheel of pulp-tasks is built.

hatchling runs `SbomHook`, so every wheel has the document in its `.dist-info/sboms/`, and so has the image, which is
made from the wheel. `./dev sbom` prints it. The document contains neither time nor place of the build: the same
commit gives the same bytes.
"""

import json
import re
import sys
import tempfile
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT: Final = Path(__file__).resolve().parents[1]
NAME: Final = "pulp-tasks.cdx.json"
_REQUIREMENT: Final = re.compile(r"(?P<name>[a-z0-9.-]+)==(?P<version>[^ ;\\]+)(?P<marker> ;)?")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_NAMESPACE: Final = uuid.UUID("5f3f4b1c-6e1b-4c55-9a35-4f0a3c1d7f0e")


class SbomHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the document to the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Create the document; an editable installation has none, since its packages are the developer's choice."""
        if version == "editable":
            return
        self._folder = tempfile.TemporaryDirectory(prefix="pulp-tasks-sbom-")
        path = Path(self._folder.name) / NAME
        path.write_text(render(Path(self.root)))
        build_data["sbom_files"].append(str(path))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what `initialize` has created."""
        if version != "editable":
            self._folder.cleanup()


def render(root: Path) -> str:
    """The document as JSON, for the project in `root`."""
    return json.dumps(document(root), indent=1) + "\n"


def document(root: Path) -> dict[str, Any]:
    """The document: pulp-tasks, pulp-admin, pulp-tasks-web, all of deploy/requirements.txt, and Kafka's jars.

    A component of deploy/requirements.txt lists the hashes of its files for all platforms. A component is optional if
    only some platforms need it, or only a Kafka on this machine does.
    """
    licences = tomllib.loads((root / "deploy" / "licences.toml").read_text())
    product, client, page = (_own(root / folder) for folder in (".", "cli", "services/web"))
    parts = [client, page, *_packages(root, licences["python"]), *_jars(root, licences["jars"])]
    body = {
        "metadata": {"component": product | {"type": "application"}},
        "components": parts,
        "dependencies": [{"ref": product["bom-ref"], "dependsOn": [part["bom-ref"] for part in parts]}],
    }
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(_NAMESPACE, json.dumps(body)).urn,
        "version": 1,
    } | body


def _own(folder: Path) -> dict[str, Any]:
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return _component(f"pkg:pypi/{project['name']}", project["version"], project["license"], [])


def _packages(root: Path, licences: dict[str, str]) -> Iterator[dict[str, Any]]:
    text = (root / "deploy" / "requirements.txt").read_text().replace("\\\n", " ")
    for line in text.splitlines():
        found = _REQUIREMENT.match(line)
        if found is None:
            raise ValueError(
                f"deploy/requirements.txt: {line[:60]!r} is not NAME==VERSION: write it with ./dev requirements"
            )
        part = _component(
            f"pkg:pypi/{found['name']}", found["version"], licences.get(found["name"]), _HASH.findall(line)
        )
        yield part | {"scope": "optional"} if found["marker"] else part


def _jars(root: Path, licences: dict[str, str]) -> Iterator[dict[str, Any]]:
    for line in (root / "deploy" / "pulp_deploy" / "kafka-jars.sha256").read_text().splitlines():
        digest, path = line.split()
        *groups, artifact, version, _ = path.split("/")
        group = ".".join(groups)
        part = _component(f"pkg:maven/{group}/{artifact}", version, licences.get(group), [digest])
        yield part | {"group": group, "scope": "optional"}


def _component(package: str, version: str, licence: str | None, hashes: list[str]) -> dict[str, Any]:
    url = f"{package}@{version}"
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": url,
        "name": package.rpartition("/")[2],
        "version": version,
        "purl": url,
    }
    if licence is not None:
        component["licenses"] = [{"expression": licence}]
    if hashes:
        component["hashes"] = [{"alg": "SHA-256", "content": each} for each in hashes]
    return component


if __name__ == "__main__":
    sys.stdout.write(render(ROOT))
