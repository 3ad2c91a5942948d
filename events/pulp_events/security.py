"""TLS and logins to Kafka: the settings PULP_KAFKA_* in one value, for librdkafka and aiokafka."""

import ssl
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pulp_events.declared_settings import Setting
from pulp_events.errors import SettingsError
from pulp_events.tokens import CallbackTokens, EndpointTokens, FileTokens, Secret

PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
PROTOCOL: Final = "PULP_KAFKA_SECURITY_PROTOCOL"
MECHANISM: Final = "PULP_KAFKA_SASL_MECHANISM"
USERNAME: Final = "PULP_KAFKA_USERNAME"
PASSWORD: Final = "PULP_KAFKA_PASSWORD"
PASSWORD_FILE: Final = "PULP_KAFKA_PASSWORD_FILE"
CA: Final = "PULP_KAFKA_CA"
CERTIFICATE: Final = "PULP_KAFKA_CERTIFICATE"
KEY: Final = "PULP_KAFKA_KEY"
KEY_PASSWORD_FILE: Final = "PULP_KAFKA_KEY_PASSWORD_FILE"
VERIFY_HOSTNAME: Final = "PULP_KAFKA_VERIFY_HOSTNAME"
CALLBACK: Final = "PULP_KAFKA_OAUTH_CALLBACK"
TOKEN_FILE: Final = "PULP_KAFKA_OAUTH_TOKEN_FILE"
TOKEN_URL: Final = "PULP_KAFKA_OAUTH_TOKEN_URL"
CLIENT_ID: Final = "PULP_KAFKA_OAUTH_CLIENT_ID"
CLIENT_SECRET: Final = "PULP_KAFKA_OAUTH_CLIENT_SECRET"
CLIENT_SECRET_FILE: Final = "PULP_KAFKA_OAUTH_CLIENT_SECRET_FILE"
SCOPE: Final = "PULP_KAFKA_OAUTH_SCOPE"

_PROTOCOL: Final = Setting(PROTOCOL, "Whether connections use TLS and a login.", choices=PROTOCOLS, default="PLAINTEXT")
_MECHANISM: Final = Setting(
    MECHANISM, "How clients log in; needed with SASL_PLAINTEXT and SASL_SSL.", choices=MECHANISMS
)
_VERIFY_HOSTNAME: Final = Setting(
    VERIFY_HOSTNAME,
    "Whether a broker's certificate must name its host.",
    kind=bool,
    choices=("false", "true"),
    default=True,
)
_LOGIN: Final = (
    Setting(USERNAME, "The user name, for PLAIN and SCRAM."),
    Setting(PASSWORD, "The password of that user; a file keeps it out of process lists.", is_secret=True),
    Setting(PASSWORD_FILE, "A file that holds the password."),
)
_TLS: Final = (
    Setting(
        CA,
        "A PEM file with the authorities that may sign broker certificates.",
        default_text="those of this machine",
    ),
    Setting(CERTIFICATE, "A PEM file with the client's own certificate."),
    Setting(KEY, "A PEM file with the key of that certificate."),
    Setting(KEY_PASSWORD_FILE, "A file that holds the password of that key."),
    _VERIFY_HOSTNAME,
)
_ENDPOINT: Final = (
    Setting(CLIENT_ID, "The client id for the token endpoint."),
    Setting(CLIENT_SECRET, "The client secret.", is_secret=True),
    Setting(CLIENT_SECRET_FILE, "A file that holds the client secret."),
    Setting(SCOPE, "The scope to request for tokens."),
)
_OAUTH: Final = (
    Setting(CALLBACK, "MODULE:FUNCTION that returns a token, for OAUTHBEARER."),
    Setting(TOKEN_FILE, "A file that holds a token, for OAUTHBEARER; it is read again before the token expires."),
    Setting(TOKEN_URL, "The endpoint that issues tokens, for OAUTHBEARER.", allowed="https://HOST/PATH"),
    *_ENDPOINT,
)
SETTINGS: Final = (_PROTOCOL, _MECHANISM, *_LOGIN, *_TLS, *_OAUTH)
_LOGIN_KEYS: Final = tuple(each.name for each in _LOGIN)
_TLS_KEYS: Final = tuple(each.name for each in _TLS)
_ENDPOINT_KEYS: Final = tuple(each.name for each in _ENDPOINT)
_OAUTH_KEYS: Final = tuple(each.name for each in _OAUTH)
KEYS: Final = tuple(each.name for each in SETTINGS)
"""The names of all these settings. Those of one installation are never mixed with those of another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The CAs that a client trusts, and its own certificate. Files are read whenever a client is created."""

    ca: Path | None = None
    """A PEM file with certificates of authorities; None means those of this machine."""
    certificate: Path | None = None
    key: Path | None = None
    key_password: Secret | None = None
    verify_hostname: bool = True

    def context(self) -> ssl.SSLContext:
        """The configuration for aiokafka. Raises `SettingsError`, which names the setting, for an unusable file."""
        try:
            context = ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
        except OSError as error:
            raise SettingsError(f"{CA}={self.ca} holds no certificates that can be read: {_words(error)}") from error
        context.check_hostname = self.verify_hostname
        if self.certificate is not None and self.key is not None:
            self._load(context, self.certificate, self.key)
        return context

    def settings(self) -> dict[str, Any]:
        """The configuration for librdkafka. Raises the same errors."""
        self.context()
        found = {
            "ssl.ca.location": self.ca,
            "ssl.certificate.location": self.certificate,
            "ssl.key.location": self.key,
            "ssl.key.password": None if self.key_password is None else self.key_password.read(),
            "ssl.endpoint.identification.algorithm": "https" if self.verify_hostname else "none",
        }
        return {key: str(value) for key, value in found.items() if value is not None}

    def _load(self, context: ssl.SSLContext, certificate: Path, key: Path) -> None:
        password = "" if self.key_password is None else self.key_password.read()
        for setting, path in ((CERTIFICATE, certificate), (KEY, key)):
            try:
                path.read_bytes()
            except OSError as error:
                raise SettingsError(f"{setting}={path} cannot be read: {error.strerror}") from error
        try:
            context.load_cert_chain(certificate, key, lambda: password)  # without it OpenSSL would ask on the terminal
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise SettingsError(
                    f"{KEY}={key} is not the key of the certificate {CERTIFICATE}={certificate}"
                ) from None
            raise SettingsError(
                f"{CERTIFICATE}={certificate} and {KEY}={key} cannot be used: {_words(error)}. Both are expected in"
                f" PEM, and the password of an encrypted key in the file that {KEY_PASSWORD_FILE} names"
            ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """How the clients of a process connect to Kafka. Its `repr` holds no secret."""

    protocol: str = "PLAINTEXT"
    mechanism: str | None = None
    username: str | None = None
    password: Secret | None = None
    tokens: CallbackTokens | FileTokens | EndpointTokens | None = None
    tls: Tls | None = field(default=None)

    @property
    def login(self) -> str:
        """The login, as messages name it."""
        if self.username is not None:
            return f"the login {self.username!r} ({USERNAME})"
        return "the token" if self.tokens is not None else "this client"

    def settings(self) -> dict[str, Any]:
        """The configuration for librdkafka. It reads secrets and certificates now. Raises `SettingsError`."""
        if self.protocol == "PLAINTEXT":
            return {}
        found: dict[str, Any] = {"security.protocol": self.protocol}
        if self.mechanism is not None:
            found["sasl.mechanism"] = self.mechanism
        if self.username is not None and self.password is not None:
            found |= {"sasl.username": self.username, "sasl.password": self.password.read()}
        if self.tokens is not None:
            found["oauth_cb"] = self._token
        return found if self.tls is None else found | self.tls.settings()

    def _token(self, _: str) -> tuple[str, float]:
        assert self.tokens is not None
        token = self.tokens.fetch()
        return token.value, token.expires_at_s


PLAINTEXT: Final = Security()


def read(env: Mapping[str, str]) -> Security:
    """From the settings PULP_KAFKA_*. Raises `SettingsError`, which names the setting and never repeats a secret."""
    given = {key: env[key].strip() for key in KEYS if env.get(key, "").strip()}
    protocol = _PROTOCOL.read(given)
    has_tls, has_login = protocol.endswith("SSL"), protocol.startswith("SASL")
    if not has_tls:
        _refuse(given, _TLS_KEYS, f"{PROTOCOL} is {protocol}, which has no TLS: set it to SSL or SASL_SSL")
    if not has_login:
        login = (MECHANISM, *_LOGIN_KEYS, *_OAUTH_KEYS)
        _refuse(given, login, f"{PROTOCOL} is {protocol}, which has no login: set it to SASL_SSL or SASL_PLAINTEXT")
    tls = _tls(given) if has_tls else None
    if not has_login:
        return Security(protocol=protocol, tls=tls)
    if MECHANISM not in given:
        raise SettingsError(f"{MECHANISM} is not set, and {PROTOCOL} is {protocol}: one of {', '.join(MECHANISMS)}")
    mechanism = _MECHANISM.read(given)
    if mechanism == "OAUTHBEARER":
        _refuse(given, _LOGIN_KEYS, f"{MECHANISM} is OAUTHBEARER, which takes a token")
        return Security(protocol=protocol, mechanism=mechanism, tokens=_tokens(given), tls=tls)
    _refuse(given, _OAUTH_KEYS, f"{MECHANISM} is {mechanism}, which takes a user name and a password")
    if USERNAME not in given:
        raise SettingsError(f"{USERNAME} is not set: {mechanism} needs it")
    password = _secret(given, PASSWORD, PASSWORD_FILE, mechanism)
    password.read()
    return Security(protocol=protocol, mechanism=mechanism, username=given[USERNAME], password=password, tls=tls)


def _tls(given: Mapping[str, str]) -> Tls:
    if (CERTIFICATE in given) != (KEY in given):
        lacking, there = (KEY, CERTIFICATE) if CERTIFICATE in given else (CERTIFICATE, KEY)
        raise SettingsError(f"{lacking} is not set, and {there} is: a certificate and its key belong together")
    if KEY_PASSWORD_FILE in given and KEY not in given:
        raise SettingsError(f"{KEY_PASSWORD_FILE} is set, but {KEY} is not: there is no key to open")
    paths = {key: Path(given[key]) for key in (CA, CERTIFICATE, KEY, KEY_PASSWORD_FILE) if key in given}
    tls = Tls(
        ca=paths.get(CA),
        certificate=paths.get(CERTIFICATE),
        key=paths.get(KEY),
        key_password=Secret(KEY_PASSWORD_FILE, path=paths[KEY_PASSWORD_FILE]) if KEY_PASSWORD_FILE in paths else None,
        verify_hostname=_VERIFY_HOSTNAME.read(given),
    )
    tls.context()
    return tls


def _tokens(given: Mapping[str, str]) -> CallbackTokens | FileTokens | EndpointTokens:
    chosen = [key for key in (CALLBACK, TOKEN_FILE, TOKEN_URL) if key in given]
    if len(chosen) != 1:
        which = "none of them is" if not chosen else f"{' and '.join(chosen)} are"
        raise SettingsError(
            f"{MECHANISM} is OAUTHBEARER, which takes one of {CALLBACK}, {TOKEN_FILE} and {TOKEN_URL}: {which} set"
        )
    if TOKEN_URL not in given:
        _refuse(given, _ENDPOINT_KEYS, f"{TOKEN_URL} is not set")
    source: CallbackTokens | FileTokens | EndpointTokens
    if CALLBACK in given:
        source = CallbackTokens(given[CALLBACK])
    elif TOKEN_FILE in given:
        source = FileTokens(Path(given[TOKEN_FILE]))
    else:
        if CLIENT_ID not in given:
            raise SettingsError(f"{CLIENT_ID} is not set: {TOKEN_URL} needs it")
        secret = _secret(given, CLIENT_SECRET, CLIENT_SECRET_FILE, TOKEN_URL)
        source = EndpointTokens(_endpoint(given[TOKEN_URL]), given[CLIENT_ID], secret, given.get(SCOPE))
    source.check()
    return source


def _endpoint(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    if "@" in parts.netloc:
        raise SettingsError(f"{TOKEN_URL} holds a login: it belongs into {CLIENT_ID} and {CLIENT_SECRET_FILE}")
    is_near = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and is_near)):
        raise SettingsError(
            f"{TOKEN_URL}={url!r} is not the address of a token endpoint: https://HOST/PATH is expected"
        )
    return url


def _secret(given: Mapping[str, str], key: str, file_key: str, needed_by: str) -> Secret:
    if key in given and file_key in given:
        raise SettingsError(f"{key} and {file_key} are both set: which one counts? Remove one")
    if key in given:
        return Secret(key, value=given[key])
    if file_key in given:
        return Secret(file_key, path=Path(given[file_key]))
    raise SettingsError(f"neither {file_key} nor {key} is set: {needed_by} needs one of them")


def _refuse(given: Mapping[str, str], keys: tuple[str, ...], why: str) -> None:
    for key in keys:
        if key in given:
            raise SettingsError(f"{key} is set, but {why}, or remove {key}")


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is not a PEM file").replace("_", " ").lower()
    return error.strerror or str(error)
