"""Podman, and a base image of this machine's own distribution, so that the image can be built without a registry."""

import json
import os
import platform
import resource
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.manifests import DEPLOY

ROOT: Final = DEPLOY.parent
BASE: Final = "localhost/pulp-tasks-test-base"
IMAGE: Final = "localhost/pulp-tasks-test"
_PACKAGES: Final = "python3,python3-venv,ca-certificates,tzdata"
_BUILD_LIMIT_S: Final = 900
_HIGHEST: Final = 16_384
_CA: Final = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True, slots=True)
class Engine:
    """Podman with options for this machine: a runtime and limits that work here."""

    configuration: Path

    def __call__(self, *arguments: str | Path, check: bool = True, limit_s: float = 120) -> str:
        """Run podman and return its standard output. Raises if it fails, unless told otherwise."""
        result = self.run(*arguments, limit_s=limit_s)
        assert result.returncode == 0 or not check, f"podman {arguments}: {result.stdout}{result.stderr}"
        return result.stdout

    def container(self, *arguments: str | Path, limit_s: float = 120) -> str:
        """`podman run`; its standard output. Raises if it fails."""
        return self("run", *_limits(), *arguments, limit_s=limit_s)

    def run(self, *arguments: str | Path, limit_s: float = 120) -> "subprocess.CompletedProcess[str]":
        """Run podman; return the completed process."""
        return subprocess.run(
            ["podman", *map(str, arguments)],
            env=os.environ | {"CONTAINERS_CONF": str(self.configuration)},
            capture_output=True,
            text=True,
            check=False,
            timeout=limit_s,
        )

    def inspect(self, name: str) -> dict[str, Any]:
        """Podman's description of a container or an image."""
        [found] = json.loads(self("inspect", name))
        return dict(found)


def find(folder: Path) -> Engine:
    """An engine that runs containers; skips with a message if there is none. `folder` holds its configuration."""
    missing = [program for program in ("podman", "debootstrap", "apt-get") if shutil.which(program) is None]
    if missing:
        pytest.skip(f"NOT TESTED: the image: {' and '.join(missing)} not installed (apt install podman debootstrap)")
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: the image: debootstrap needs root, to make its base")
    said = []
    for runtime in ("crun", "runc"):
        if shutil.which(runtime) is None:
            continue
        engine = Engine(_configuration(folder, runtime))
        if engine.run("image", "exists", BASE).returncode != 0:
            _make_base(engine, folder)
        result = engine.run("run", *_limits(), "--rm", "--network", "none", BASE, "true")
        if result.returncode == 0:
            return engine
        said.append(f"{runtime}: {result.stderr.strip()}")
    pytest.skip(f"NOT TESTED: the image: podman runs no container here ({'; '.join(said) or 'no runtime'})")


def build(engine: Engine, folder: Path) -> str:
    """The image, built as docs/operate/containers.md says; its name."""
    arguments = [*_limits(), "--format", "docker", "--network", "host", "--build-arg", f"BASE={BASE}"]
    (folder / "pip.conf").write_text(_pip_configuration())
    arguments += ["--volume", f"{folder / 'pip.conf'}:/etc/pip.conf:ro"]
    if Path(_CA).exists():  # what this machine trusts: an index may be behind an authority of its own
        arguments += ["--volume", f"{_CA}:{_CA}:ro"]
    before = _id_of(engine)
    engine("build", *arguments, "-f", ROOT / "deploy" / "Dockerfile", "-t", IMAGE, ROOT, limit_s=_BUILD_LIMIT_S)
    if before != _id_of(engine):
        engine.run("rmi", before)  # else every run would leave one behind
    return IMAGE


def flags(service: Mapping[str, Any], secrets: Path) -> list[str]:
    """Podman's arguments for a service of the compose file; the caller chooses networks and process 1."""
    found = [f"--memory={service['mem_limit']}", f"--cpus={service['cpus']}", f"--pids-limit={service['pids_limit']}"]
    found += [f"--cap-drop={each.lower()}" for each in service["cap_drop"]]
    found += [f"--security-opt={each.partition(':')[0]}" for each in service["security_opt"]]
    found += [f"--tmpfs={each}" for each in service["tmpfs"]]
    found += ["--read-only", "--read-only-tmpfs=false"] if service["read_only"] else []
    found += [f"--env={key}={value}" for key, value in service["environment"].items()]
    found += [f"--volume={secrets / each['source']}:/run/secrets/{each['target']}:ro" for each in service["secrets"]]
    return found


def _id_of(engine: Engine) -> str:
    """The image's id, or None before the first build."""
    return engine.run("image", "inspect", "--format", "{{.Id}}", IMAGE).stdout.strip()


def _configuration(folder: Path, runtime: str) -> Path:
    path = folder / f"containers-{runtime}.conf"
    path.write_text(f'[engine]\nruntime = "{runtime}"\nevents_logger = "file"\ncgroup_manager = "cgroupfs"\n')
    return path


def _limits() -> list[str]:
    """Limits no higher than those of this process, since raising them may be forbidden."""
    found = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    hard = {name: resource.getrlimit(kind)[1] for name, kind in found.items()}
    most = {name: _HIGHEST if limit == resource.RLIM_INFINITY else min(limit, _HIGHEST) for name, limit in hard.items()}
    return [f"--ulimit={name}={limit}:{limit}" for name, limit in most.items()]


def _make_base(engine: Engine, folder: Path) -> None:
    """The sources of this machine's apt. A failed download is not a fault of the image."""
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    wanted = "$(REPO_URI) $(CODENAME) $(COMPONENT)"
    listed = subprocess.run(["apt-get", "indextargets", "--format", wanted], capture_output=True, text=True, check=True)
    targets = [line.split() for line in listed.stdout.splitlines()]
    sources = {uri for uri, name, *_ in targets if name == codename}
    components = {component for _, name, *rest in targets if name == codename for component in rest}
    if not sources:
        pytest.skip(f"NOT TESTED: the image: apt knows no source of {codename or 'this distribution'} (apt-get update)")
    arguments = ["--variant=minbase", f"--include={_PACKAGES}", f"--components={','.join(components)}"]
    try:
        subprocess.run(
            ["debootstrap", *arguments, codename, str(folder / "base"), sorted(sources)[0]],
            capture_output=True,
            text=True,
            check=True,
            timeout=_BUILD_LIMIT_S,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"NOT TESTED: the image: debootstrap could make no base: {error} {str(error.stdout or '')[-300:]}")
    archive = folder / "base.tar"
    subprocess.run(["tar", "-C", folder / "base", "-cf", archive, "."], check=True, timeout=_BUILD_LIMIT_S)
    engine("import", archive, BASE, limit_s=_BUILD_LIMIT_S)
    shutil.rmtree(folder / "base")
    archive.unlink()


def _pip_configuration() -> str:
    """This machine's settings of pip, for pip in the build."""
    pip = shutil.which("pip3") or shutil.which("pip")
    listed = (
        ""
        if pip is None
        else subprocess.run([pip, "config", "list"], capture_output=True, text=True, check=True).stdout
    )
    settings = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2]
        if name in ("cert", "index-url", "extra-index-url", "timeout", "default-timeout", "trusted-host", "proxy"):
            settings[name] = value.strip("'")
    return "[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items())
