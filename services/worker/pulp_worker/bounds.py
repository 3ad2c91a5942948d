"""Reading the bounds of operations: PULP_FETCH_*, PULP_FEED_CREDENTIALS and PULP_ISOLATED_*.

The processes of operations get these bounds from their worker, not from the environment.
"""

from collections.abc import Mapping

from pulp_events import declared_settings

from pulp_worker.fetching.rules import Rules
from pulp_worker.fetching.settings import FetchSettings
from pulp_worker.isolation import IsolationSettings


def fetch_settings(env: Mapping[str, str]) -> FetchSettings:
    """Raises `SettingsError`, which names the setting."""
    rules = Rules(**declared_settings.read(Rules, env))
    return FetchSettings(rules=rules, **declared_settings.read(FetchSettings, env))


def isolation_settings(env: Mapping[str, str]) -> IsolationSettings:
    """Raises `SettingsError`, which names the setting."""
    return IsolationSettings(**declared_settings.read(IsolationSettings, env))
