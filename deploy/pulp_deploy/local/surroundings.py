"""The environment of a stack's processes: the variables named here, and nothing else of the starting shell."""

import re
from collections.abc import Mapping
from typing import Final

from pulp_admin.settings import CONFIG_FILE
from pulp_admin.settings import SETTINGS as CLIENT
from pulp_events.declared_settings import Setting, words
from pulp_events.local_stack import DATA

READY_FD: Final = Setting(
    "PULP_READY_FD", "The descriptor to which a stack in the background reports that it is ready.", is_internal=True
)
_USUAL: Final = r"PATH | HOME | USER | LOGNAME | TZ | TMPDIR | TEMP | TMP | LANG | LANGUAGE | LC_\w+ | LD_LIBRARY_PATH"
_SERVER: Final = re.compile(_USUAL, re.VERBOSE)
_SERVICE: Final = re.compile(
    _USUAL + r"| SHELL | TERM | (http|https|ftp|all|no)_proxy | (HTTP|HTTPS|FTP|ALL|NO)_PROXY"
    r"| SSL_CERT_FILE | SSL_CERT_DIR | REQUESTS_CA_BUNDLE | CURL_CA_BUNDLE"
    r"| PYTHON\w* | VIRTUAL_ENV | LD_\w+ | DYLD_\w+ | MALLOC_\w+ | XDG_\w+ | COVERAGE_\w+"
    r"| OTEL_\w+ | PULP_\w+",
    re.VERBOSE,
)
_FILES: Final = frozenset({DATA.name, CONFIG_FILE.variable})
"""Where files are."""
_NO_SERVICE: Final = _FILES | {READY_FD.name} | {setting.variable for setting in CLIENT}
"""What the client and the supervisor read, and no service."""
_JARS: Final = re.compile(r"JAVA_HOME|(M2|MAVEN|JGO)_\w+")
"""What brings Kafka's jars."""
_MORE: Final = "PULP_WORKER_ENVIRONMENT"
"""Names more variables, for operations."""


def for_servers(env: Mapping[str, str]) -> dict[str, str]:
    """The environment of Kafka and PostgreSQL: no possible secrets, and no settings of Java or libpq."""
    return {key: value for key, value in env.items() if _SERVER.fullmatch(key)}


def for_python(env: Mapping[str, str]) -> dict[str, str]:
    """The environment of our programs that need no settings."""
    return for_servers(env) | {key: value for key, value in env.items() if key.startswith("PYTHON")}


def for_services(env: Mapping[str, str], *, libpq: bool = False) -> dict[str, str]:
    """The environment of the API, processors and workers: our settings, Python's, and proxies. With `libpq` its
    settings too, which belong to a given Postgres. PULP_WORKER_ENVIRONMENT names more.
    """
    named = words(env.get(_MORE, ""))
    return {
        key: value
        for key, value in env.items()
        if (_SERVICE.fullmatch(key) and key not in _NO_SERVICE) or key in named or (libpq and key.startswith("PG"))
    }


def for_supervisor(env: Mapping[str, str]) -> dict[str, str]:
    """What a supervisor in the background gets: what its services get, and where files are."""
    more = {key: value for key, value in env.items() if key in _FILES or _JARS.fullmatch(key)}
    return without_libpq(for_services(env, libpq=True)) | more


def without_libpq(env: Mapping[str, str]) -> dict[str, str]:
    """Drops the settings of libpq if PULP_POSTGRES is not set."""
    if env.get("PULP_POSTGRES", "").strip():
        return dict(env)
    return {key: value for key, value in env.items() if not key.startswith("PG")}
