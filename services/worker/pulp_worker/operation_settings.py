"""Settings of a package of operations, which an administrator sets in the environment of the workers.

The package declares them as the worker does: as annotated fields of a frozen class (`Setting`).
"""

from collections.abc import Mapping
from typing import Any

from pulp_events import declared_settings
from pulp_events.declared_settings import Setting as Setting
from pulp_events.declared_settings import words as words
from pulp_events.declared_settings import wrong as wrong
from pulp_events.errors import WrongSetting

from pulp_worker.errors import OperationError


def read(cls: type, env: Mapping[str, str]) -> dict[str, Any]:
    """The values of the declared fields of a class, for its constructor.

    Raises `OperationError` (`bad-setting`), which names the setting, but not its value: whoever looks at the task may
    not know the settings of the workers.
    """
    try:
        return declared_settings.read(cls, env)
    except WrongSetting as error:
        description = f"the worker's setting {error.name} cannot be used: {error.expected}"
        raise OperationError("bad-setting", description) from error
