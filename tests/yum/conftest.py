"""The reference for this folder's tests, reported where nobody overlooks it."""

from collections.abc import Iterator

import pytest

from tests.yum import reference
from tests.yum.reference import Reference
from tests.yum.shapes import Shape


@pytest.fixture(scope="session")
def the_reference(request: pytest.FixtureRequest) -> Iterator[Reference]:
    """What dnf and createrepo_c say about the shapes of this run."""
    shapes = {
        shape.name: shape
        for item in request.session.items
        if isinstance(shape := getattr(getattr(item, "callspec", None), "params", {}).get("shape"), Shape)
    }
    made = Reference(shapes.values())
    yield made
    made.close()


@pytest.fixture(scope="session")
def dnf() -> str:
    """The version of dnf; without dnf, a test that needs it says loudly that it did not run."""
    version = reference.dnf_version()
    if version is None:
        pytest.skip("NOT CHECKED BY DNF: it is not installed here (Debian: apt-get install dnf)")
    return version


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report once per run which reference it was."""
    options = terminalreporter.config.option
    version = reference.dnf_version()
    terminalreporter.section("reference of the yum repositories")
    terminalreporter.write_line(
        f"Repositories by chance: --yum-examples {options.yum_examples} --yum-seed {options.yum_seed}"
    )
    if version is not None:
        terminalreporter.write_line(f"RUN HERE: dnf {version} and createrepo_c were asked for every shape.")
        return
    versions = reference.recorded()["versions"]
    terminalreporter.write_line(
        f"RECORDED, NOT RUN HERE: what dnf {versions['dnf']} and createrepo_c {versions['createrepo_c']} said is from"
        f" {reference.RECORDED.name}, since dnf is not installed on this machine. Tests that run dnf itself were skipped."
    )
