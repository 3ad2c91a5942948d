"""Running `pulp-tasks` as a user does, away from the user's own home and from what the machine has set."""

import os
import subprocess
import sys
from pathlib import Path

OWN_SETTINGS = ("PULP_", "XDG_")


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a user without a client configuration; Kafka's jars stay where they are."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(OWN_SETTINGS)}
    return {**kept, "PULP_ADMIN_CONFIG": str(home / ".pulp" / "admin.toml"), **more}


def pulp_tasks(*arguments: str, env: dict[str, str], timeout_s: float = 90) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "pulp_deploy", *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
