"""The environment of what a stack starts: what is named here, and nothing else of the shell that started it."""

import re
from collections.abc import Mapping
from typing import Final

_USUAL: Final = r"PATH | HOME | USER | LOGNAME | TZ | TMPDIR | TEMP | TMP | LANG | LANGUAGE | LC_\w+ | LD_LIBRARY_PATH"
_SERVER: Final = re.compile(_USUAL, re.VERBOSE)
_SERVICE: Final = re.compile(
    _USUAL + r"| SHELL | TERM | (http|https|ftp|all|no)_proxy | (HTTP|HTTPS|FTP|ALL|NO)_PROXY"
    r"| SSL_CERT_FILE | SSL_CERT_DIR | REQUESTS_CA_BUNDLE | CURL_CA_BUNDLE"
    r"| PYTHON\w* | VIRTUAL_ENV | LD_\w+ | DYLD_\w+ | MALLOC_\w+ | XDG_\w+ | COVERAGE_\w+"
    r"| PULP_(?!ADMIN_|(DATA|READY_FD|URL|USERNAME|PASSWORD|CA_FILE|FIELDS)$)\w+",
    re.VERBOSE,
)
_SUPERVISOR: Final = re.compile(r"PULP_DATA|PULP_ADMIN_CONFIG|JAVA_HOME|(M2|MAVEN|JGO)_\w+")
"""Where files are, and what brings Kafka's jars."""
_MORE: Final = "PULP_WORKER_ENVIRONMENT"
"""Names more, for operations; separated by commas."""


def for_servers(env: Mapping[str, str]) -> dict[str, str]:
    """What Kafka and PostgreSQL get: nothing that may be a secret, and no setting of Java or libpq."""
    return {key: value for key, value in env.items() if _SERVER.fullmatch(key)}


def for_python(env: Mapping[str, str]) -> dict[str, str]:
    """What a program of ours gets that needs no setting."""
    return for_servers(env) | {key: value for key, value in env.items() if key.startswith("PYTHON")}


def for_services(env: Mapping[str, str], *, libpq: bool = False) -> dict[str, str]:
    """What the API, processors and workers get: settings of ours and of Python, and proxies.

    With `libpq` its settings too, which belong to a Postgres that was given. PULP_WORKER_ENVIRONMENT names more.
    """
    named = {name.strip() for name in env.get(_MORE, "").split(",")}
    return {
        key: value
        for key, value in env.items()
        if _SERVICE.fullmatch(key) or key in named or (libpq and key.startswith("PG"))
    }


def for_supervisor(env: Mapping[str, str]) -> dict[str, str]:
    """What a supervisor in the background gets: what its services get, and where files are."""
    more = {key: value for key, value in env.items() if _SUPERVISOR.fullmatch(key)}
    return without_libpq(for_services(env, libpq=True)) | more


def without_libpq(env: Mapping[str, str]) -> dict[str, str]:
    """Without the settings of libpq, if there is no PULP_POSTGRES that they could belong to."""
    if env.get("PULP_POSTGRES", "").strip():
        return dict(env)
    return {key: value for key, value in env.items() if not key.startswith("PG")}
