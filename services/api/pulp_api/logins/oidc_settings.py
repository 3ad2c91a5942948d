"""The settings of logins by an OpenID Connect issuer."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pulp_accounts.users import Role
from pulp_events import declared_settings
from pulp_events.declared_settings import Setting, words, wrong
from pulp_events.errors import SettingsError

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""The algorithms with a public key: a program that can verify such a signature cannot create one."""
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def _url(name: str, text: str) -> str:
    try:
        parts = urlsplit(text)
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    except ValueError:
        is_safe = False
    if not is_safe or not parts.hostname or parts.username is not None or parts.query or parts.fragment:
        raise wrong(name, repr(text), "an https URL is expected, without a user, a query or a fragment")
    return text


def _algorithms(name: str, text: str) -> tuple[str, ...]:
    found = words(text)
    if not found or not set(found) <= set(ALGORITHMS):
        raise wrong(name, repr(text), f"some of {', '.join(ALGORITHMS)} are expected")
    return found


def _roles(name: str, text: str) -> tuple[tuple[str, Role], ...]:
    found: list[tuple[str, Role]] = []
    for word in words(text):
        claimed, equals, role = word.rpartition("=")
        if not claimed or not equals or role not in set(Role):
            raise wrong(name, repr(word), f"VALUE=ROLE is expected, with one of the roles {', '.join(Role)}")
        found.append((claimed, Role(role)))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcSettings:
    """The issuer whose tokens are accepted, and how they map to a user and a role."""

    issuer: Annotated[
        str | None,
        Setting(
            "PULP_OIDC_ISSUER",
            "The issuer whose JWTs are accepted as bearer tokens, as in their claim `iss`.",
            parse=_url,
            allowed="an https URL",
        ),
    ] = None
    audiences: Annotated[
        tuple[str, ...],
        Setting(
            "PULP_OIDC_AUDIENCE", "The audiences, one of which their claim `aud` must name. Required with an issuer."
        ),
    ] = ()
    jwks_url: Annotated[
        str | None,
        Setting(
            "PULP_OIDC_JWKS_URL",
            "The URL of the issuer's keys.",
            parse=_url,
            allowed="an https URL",
            default_text="as the issuer's `.well-known/openid-configuration` says",
        ),
    ] = None
    algorithms: Annotated[
        tuple[str, ...],
        Setting(
            "PULP_OIDC_ALGORITHMS",
            "The signature algorithms to accept.",
            parse=_algorithms,
            allowed=f"some of {', '.join(ALGORITHMS)}",
        ),
    ] = ("RS256", "ES256")
    name_claim: Annotated[
        str,
        Setting(
            "PULP_OIDC_NAME_CLAIM",
            "The claim with the user's name. The issuer must keep people from choosing or exchanging it.",
        ),
    ] = "sub"
    roles_claim: Annotated[
        str,
        Setting(
            "PULP_OIDC_ROLES_CLAIM",
            "The claim with the user's roles or groups, a text or a list; dots lead into nested objects.",
        ),
    ] = "roles"
    roles: Annotated[
        tuple[tuple[str, Role], ...],
        Setting(
            "PULP_OIDC_ROLES",
            "The role for each value of that claim; the first that a user has applies. Required with an issuer.",
            parse=_roles,
            allowed="VALUE=ROLE, separated by commas",
        ),
    ] = ()
    skew_s: Annotated[float, Setting("PULP_OIDC_SKEW_S", "How far off the issuer's clock may be.", most=300)] = 30
    ca_file: Annotated[
        Path | None,
        Setting("PULP_OIDC_CA_FILE", "Certificates to trust for the issuer.", default_text="those of the system"),
    ] = None

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """From the environment. Raises `SettingsError`, which names the setting."""
        found = cls(**declared_settings.read(cls, env))
        if found.issuer is not None:
            for name, value in (("PULP_OIDC_AUDIENCE", found.audiences), ("PULP_OIDC_ROLES", found.roles)):
                if not value:
                    raise SettingsError(f"{name} is not set: with PULP_OIDC_ISSUER it is needed")
        return found
