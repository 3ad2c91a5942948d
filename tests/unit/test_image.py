"""The image, as far as it can be checked without an engine. `tests/containers` builds and runs it."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
LINES = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
FINAL = LINES[max(number for number, line in enumerate(LINES) if line.startswith("FROM ")) :]
REQUIREMENTS = ["requirements.txt", "requirements-build.txt"]


def pinned(name: str = "requirements.txt") -> dict[str, str]:
    """Version of each package in a file of requirements."""
    lines = (DEPLOY / name).read_text().splitlines()
    found = [re.match(r"([a-z0-9.-]+)==([^ ;\\]+)", line) for line in lines]
    return {match[1]: match[2] for match in found if match}


def unmet(wanted: list[str], versions: dict[str, str]) -> list[str]:
    """Requirements that a requirements file does not meet; our own packages do not count."""
    return [
        text
        for text in wanted
        if (each := Requirement(text)).name not in ("pulp-tasks", "pulp-admin", "pulp-tasks-web")
        and not (each.name in versions and each.specifier.contains(versions[each.name]))
    ]


def test_the_image_installs_what_the_project_asks_for() -> None:
    product, client = (tomllib.loads((ROOT / name / "pyproject.toml").read_text())["project"] for name in (".", "cli"))
    extras = product["optional-dependencies"]
    wanted = [
        *product["dependencies"],
        *client["dependencies"],
        *(each for name in ("server", "processor", "worker", "operations", "api") for each in extras[name]),
    ]
    assert unmet(wanted, pinned()) == [], "write it anew with ./dev requirements"


def test_the_wheels_are_built_by_what_they_ask_for() -> None:
    for folder in (".", "cli"):
        wanted = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["build-system"]["requires"]
        assert unmet(wanted, pinned("requirements-build.txt")) == [], "write it anew with ./dev requirements"


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_every_requirement_has_a_hash_and_no_address(name: str) -> None:
    text = (DEPLOY / name).read_text()
    parts = text.replace("\\\n", " ").splitlines()
    assert parts
    assert [part[:60] for part in parts if not re.search(r"--hash=sha256:[0-9a-f]{64}", part)] == []
    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE)


def test_nothing_is_installed_without_its_hash() -> None:
    installs = [
        line for whole in LINES for line in whole.split("&&") if re.search(r"pip\b.* (install|wheel|download) ", line)
    ]
    assert len(installs) == 4
    for line in installs:
        from_the_index = "--require-hashes" in line and "--only-binary :all:" in line
        from_the_build = "--no-index" in line and "--no-deps" in line
        assert from_the_index or from_the_build, line
    [wheel] = [line for line in installs if " wheel " in line]
    assert "--no-build-isolation" in wheel
    assert "apt" not in DOCKERFILE


def test_the_base_is_an_argument_that_may_have_a_digest() -> None:
    assert [line for line in LINES if line.startswith("FROM ")] == ["FROM ${BASE} AS build", "FROM ${BASE}"]
    assert any(line.startswith("ARG BASE=") for line in LINES)


def test_the_final_stage_has_nothing_that_installs_or_builds() -> None:
    assert [line for line in FINAL if line.startswith("COPY ")] == ["COPY --from=build /opt/pulp-tasks /opt/pulp-tasks"]
    assert any("venv --without-pip /opt/pulp-tasks" in line for line in LINES)
    assert any("pip uninstall --yes pip" in line for line in FINAL)


def test_the_image_copies_what_is_there_and_is_not_root() -> None:
    copied = [line.split()[1:-1] for line in LINES if line.startswith("COPY ") and "--from" not in line]
    assert [source for sources in copied for source in sources if not (ROOT / source).exists()] == []
    assert ["cli"] in copied
    assert [line for line in LINES if line.startswith("USER ")] == ["USER 10001:10001"]


def test_the_images_account_has_a_number_that_useradd_takes_for_a_user() -> None:
    [line] = [line for line in LINES if "useradd" in line]
    assert "--uid 10001" in line
    assert "--system" not in line  # it warns about numbers above 999


def test_any_account_of_group_0_may_use_the_folder() -> None:
    [line] = [line for line in LINES if "useradd" in line]
    assert "install -d -o 10001 -g 0 -m 0770 /var/lib/pulp-tasks" in line


def test_the_image_tells_an_engine_how_to_stop_it_and_how_it_is() -> None:
    assert "STOPSIGNAL SIGTERM" in FINAL
    [health] = [line for line in FINAL if line.startswith("HEALTHCHECK ")]
    assert health.endswith('CMD ["pulp-tasks-probe", "live"]')
    assert re.search(r"PULP_HEARTBEAT=/tmp/", DOCKERFILE)
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert "pulp-tasks-probe" in scripts


def test_the_labels_say_what_the_project_says() -> None:
    product = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [labels] = [line for line in FINAL if line.startswith("LABEL ")]
    found = dict(re.findall(r'org\.opencontainers\.image\.([a-z.]+)="([^"]*)"', labels))
    assert found["licenses"] == product["license"]
    assert found["url"] == product["urls"]["Homepage"]
    assert found["version"] == "${VERSION}"
    assert f"ARG VERSION={product['version']}" in FINAL


@pytest.mark.parametrize("name", ["deploy/.env", "deploy/secrets/postgres-admin"])
def test_secrets_are_in_no_layer_and_in_no_commit(name: str) -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert f"**/{'.env' if name.endswith('.env') else 'secrets'}" in ignored
    committed = (ROOT / ".gitignore").read_text().splitlines()
    assert any(f"/{name}".startswith(each.rstrip("/")) for each in committed if each.startswith("/deploy/"))
