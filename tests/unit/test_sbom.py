"""The bill of materials: a CycloneDX document that names each part with its hash and licence, in each wheel."""

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
LICENCES = tomllib.loads((DEPLOY / "licences.toml").read_text())


@pytest.fixture(scope="module")
def text() -> str:
    """The document as `./dev sbom` prints it."""
    return subprocess.run([sys.executable, DEPLOY / "sbom.py"], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def document(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def hashes(part: dict[str, Any]) -> set[str]:
    return {each["content"] for each in part.get("hashes", []) if each["alg"] == "SHA-256"}


def required() -> dict[str, set[str]]:
    """The hashes of each NAME==VERSION that the image installs."""
    parts = (DEPLOY / "requirements.txt").read_text().replace("\\\n", "").splitlines()
    return {line.split()[0]: set(re.findall(r"sha256:([0-9a-f]{64})", line)) for line in parts}


def test_the_document_is_what_the_standard_asks_for(text: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_it_names_every_part_that_the_image_installs_with_its_hashes(document: dict[str, Any]) -> None:
    named = {
        f"{part['name']}=={part['version']}": hashes(part)
        for part in document["components"]
        if part["purl"].startswith("pkg:pypi/") and part["name"] not in ("pulp-admin", "pulp-tasks-web")
    }
    assert named == required()
    assert all(named.values())


def test_it_names_the_jars_of_the_local_kafka(document: dict[str, Any]) -> None:
    lines = (DEPLOY / "pulp_deploy" / "kafka-jars.sha256").read_text().splitlines()
    jars = [part for part in document["components"] if part["purl"].startswith("pkg:maven/")]
    assert [hashes(part) for part in jars] == [{line.split()[0]} for line in lines]
    assert {part["purl"] for part in jars} >= {"pkg:maven/org.apache.kafka/kafka-clients@4.3.1"}
    assert {part["scope"] for part in jars} == {"optional"}


def test_it_is_about_both_of_our_packages(document: dict[str, Any]) -> None:
    product, client = (
        tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"] for folder in (".", "cli")
    )
    about = document["metadata"]["component"]
    assert (about["name"], about["version"]) == (product["name"], product["version"])
    assert [part["version"] for part in document["components"] if part["name"] == "pulp-admin"] == [client["version"]]
    [depends] = document["dependencies"]
    assert depends["dependsOn"] == [part["bom-ref"] for part in document["components"]]


def test_every_part_has_a_licence(document: dict[str, Any]) -> None:
    missing = [part["purl"] for part in document["components"] if not part.get("licenses")]
    assert missing == [], "write each one's licence into deploy/licences.toml"


def test_no_licence_is_told_of_what_is_gone() -> None:
    names = {name.split("==")[0] for name in required()}
    assert set(LICENCES["python"]) - names == set(), "take these out of deploy/licences.toml"


def test_the_licences_are_those_that_the_parts_name_themselves() -> None:
    wrong = {}
    for name, licence in LICENCES["python"].items():
        try:
            found = metadata(name)
        except PackageNotFoundError:  # for another platform
            continue
        if "License-Expression" in found and found["License-Expression"] != licence:
            wrong[name] = found["License-Expression"]
    assert wrong == {}


def test_the_same_commit_has_the_same_document(text: str) -> None:
    again = subprocess.run([sys.executable, DEPLOY / "sbom.py"], capture_output=True, text=True, check=True).stdout
    assert again == text
    assert not re.search(r"\d{4}-\d\d-\d\dT|" + re.escape(str(ROOT)), text)


def wheel_in(folder: Path) -> Path:
    """The wheel of pulp-tasks, built into a folder."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    [wheel] = folder.glob("pulp_tasks-*.whl")
    return wheel


def test_a_wheel_is_the_same_whenever_it_is_built(tmp_path: Path) -> None:
    first, second = (wheel_in(tmp_path / name).read_bytes() for name in ("first", "second"))
    assert first == second


def test_a_wheel_has_the_document(text: str, tmp_path: Path) -> None:
    wheel = wheel_in(tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if "/sboms/" in name]
        assert re.fullmatch(r"pulp_tasks-[0-9.]+\.dist-info/sboms/pulp-tasks\.cdx\.json", name)
        assert archive.read(name).decode() == text
