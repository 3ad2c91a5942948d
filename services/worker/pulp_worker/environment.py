"""The environment of plain operations: of the worker's variables, only those named here."""

import re
from collections.abc import Collection, Mapping
from typing import Final

from pulp_events.declared_settings import Setting

TASK_ID: Final = "PULP_TASK_ID"
ATTEMPT_ID: Final = "PULP_ATTEMPT_ID"
TRACEPARENT: Final = "TRACEPARENT"
"""The context of the attempt, if it is traced, in the variable that OpenTelemetry defines for processes."""
SETTINGS: Final = (
    Setting(TASK_ID, "The id of the task that the operation runs for.", is_internal=True),
    Setting(ATTEMPT_ID, "The id of this attempt to run it.", is_internal=True),
)
"""What the worker sets for the process of an operation."""

_ALLOWED: Final = re.compile(
    r"PATH | HOME | USER | LOGNAME | SHELL | TERM | TZ | TMPDIR | TEMP | TMP"
    r"| LANG | LANGUAGE | LC_\w+"
    r"| (http|https|ftp|all|no)_proxy | (HTTP|HTTPS|FTP|ALL|NO)_PROXY"
    r"| SSL_CERT_FILE | SSL_CERT_DIR | REQUESTS_CA_BUNDLE | CURL_CA_BUNDLE"
    r"| PYTHON\w* | VIRTUAL_ENV | LD_\w+ | MALLOC_\w+ | XDG_\w+"
    r"| PULP_LOG_LEVEL | PULP_YUM_\w+",
    re.VERBOSE,
)


def allowed(environment: Mapping[str, str], more: Collection[str] = ()) -> dict[str, str]:
    """The variables that an operation gets; `more` names others. Credentials of the installation are not among them."""
    return {key: value for key, value in environment.items() if _ALLOWED.fullmatch(key) or key in more}
