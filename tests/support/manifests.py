"""Reads the compose file and the Kubernetes manifests in deploy/."""

from pathlib import Path
from typing import Any, Final

import yaml

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def manifests(folder: Path) -> list[dict[str, Any]]:
    """The documents of all files of a folder, but for the kustomization."""
    files = [file for file in sorted(folder.glob("*.yaml")) if file.name != "kustomization.yaml"]
    return [document for file in files for document in yaml.safe_load_all(file.read_text())]


def named(manifest: dict[str, Any]) -> str:
    """KIND/NAME."""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def pod_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """The pod specification in a workload or a pod."""
    found: dict[str, Any] = manifest["spec"].get("template", manifest)["spec"]
    return found


def seconds(duration: str) -> float:
    """Compose's `90s` or `1m`."""
    return float(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]


def mebibytes(quantity: str) -> float:
    """`512Mi`, `1Gi`; also compose's `512m`, `1g`."""
    number, unit = quantity.rstrip("iMGmg"), quantity.lstrip("0123456789.")[0].lower()
    return float(number) * {"m": 1, "g": 1024}[unit]
