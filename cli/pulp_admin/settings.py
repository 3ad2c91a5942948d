"""The settings of the client, each declared once.

The help of the options and docs/reference/settings.md are made from here.
"""

from dataclasses import dataclass
from typing import Any, Final

DEFAULT_URL: Final = "http://127.0.0.1:24817"
LONGEST_TIMEOUT_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSetting:
    """One setting. An option overrides the environment, which overrides the configuration files."""

    sentence: str
    key: str = ""
    """Its name in the configuration file; empty if it cannot be set there."""
    variable: str = ""
    """Its name in the environment."""
    flag: str = ""
    """Its option."""
    kind: type = str
    default: Any = None
    unit: str = ""
    allowed: str = ""
    is_secret: bool = False

    @property
    def help(self) -> str:
        """The help text of its option."""
        sentence = self.sentence.removesuffix(".")
        return f"{sentence}  [env: {self.variable}]." if self.variable else self.sentence


CONFIG_FILE: Final = ClientSetting(
    sentence="The configuration file, in place of ~/.pulp/admin.toml and of the admin.conf of Pulp 2.",
    variable="PULP_ADMIN_CONFIG",
)
MORE_CONFIG: Final = ClientSetting(
    sentence="A configuration file of either kind. It takes precedence over all others.", flag="--config"
)
URL: Final = ClientSetting(
    sentence="The server.",
    key="url",
    variable="PULP_URL",
    flag="--url",
    default=DEFAULT_URL,
    allowed="an http or https URL",
)
USERNAME: Final = ClientSetting(
    sentence="The user name.", key="username", variable="PULP_USERNAME", flag="--username", allowed="no colon"
)
PASSWORD: Final = ClientSetting(
    sentence="The password.",
    key="password",
    variable="PULP_PASSWORD",
    flag="--password",
    is_secret=True,
)
TOKEN: Final = ClientSetting(
    sentence="A bearer token, in place of a user and a password.", variable="PULP_TOKEN", is_secret=True
)
PASSWORD_FILE: Final = ClientSetting(
    sentence=f"A file with the password  [env with it: {PASSWORD.variable}].", flag="--password-file"
)
VERIFY: Final = ClientSetting(
    sentence="Whether to check the server's certificate.", key="verify", kind=bool, default=True
)
CA_FILE: Final = ClientSetting(
    sentence="Certificates to trust.", key="ca_file", variable="PULP_CA_FILE", flag="--ca-file"
)
PROXY: Final = ClientSetting(
    sentence="The proxy to the server, where the environment names none and NO_PROXY does not name the server.",
    key="proxy",
    allowed="the URL of a proxy",
)
TIMEOUT_S: Final = ClientSetting(
    sentence="How long the server may take to answer.",
    key="timeout_s",
    kind=float,
    default=60.0,
    unit="seconds",
    allowed=f"above 0, at most {LONGEST_TIMEOUT_S:.0f}",
)
ERRORS: Final = ClientSetting(
    sentence="Where messages of failure go: Pulp 2's client has them on standard output.",
    variable="PULP_ADMIN_ERRORS",
    default="stderr",
    allowed="stderr, stdout",
)
SETTINGS: Final = (
    CONFIG_FILE,
    MORE_CONFIG,
    URL,
    USERNAME,
    PASSWORD,
    PASSWORD_FILE,
    TOKEN,
    VERIFY,
    CA_FILE,
    PROXY,
    TIMEOUT_S,
    ERRORS,
)
