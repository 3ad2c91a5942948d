"""Operations that report what a process in the image may do. They are mounted into a worker's container."""

import locale
import os
import ssl
import subprocess
import tempfile
import zoneinfo
from datetime import datetime
from pathlib import Path
from typing import Any

from pulp_worker import Context, operation


def writable(folder: str) -> bool:
    """Whether a file can be created in it."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@operation("surroundings")
def surroundings(context: Context) -> dict[str, Any]:
    """Reports the process's user, rights, writable folders and environment."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    folders = {str(path) for path in Path("/").glob("*") if path.is_dir()} | {
        *("/", "/etc/ssl", "/opt/pulp-tasks", "/opt/pulp-tasks/bin", "/usr/lib", "/var/lib", "/var/lib/pulp-tasks"),
        *("/var/tmp", "/run/secrets", "/operations", "/dev/shm"),
    }
    return {
        "ids": [*os.getresuid(), *os.getresgid()],
        "status": {key: status[key].strip() for key in ("CapPrm", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp")},
        "writable": sorted(folder for folder in folders if os.path.isdir(folder) and writable(folder)),
        "environment": dict(os.environ),
        "certificates": ssl.create_default_context().cert_store_stats()["x509_ca"],
        "summer": datetime(2026, 7, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")).utcoffset().total_seconds(),  # type: ignore[union-attr]
        "encoding": locale.getpreferredencoding(False),
    }


@operation("orphan")
def orphan(context: Context) -> int:
    """Leave a short-lived orphan process behind."""
    program = "import os, time\nif os.fork(): os._exit(0)\nos.setsid()\ntime.sleep(0.2)"
    return subprocess.run(["python", "-c", program], check=True).returncode
