"""The modules that the API imports at its start."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("package", ["httpx", "rich", "prometheus_client", "pyarrow", "textual"])
def test_the_api_loads_nothing_that_only_some_installations_need(package: str) -> None:
    program = f"import sys, pulp_api.main; print({package!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
