"""The calls of Pulp 3 that are not served here. They are in the document, because pulp-cli looks them up by name before
it asks: so its users read the server's answer, 404 with `detail`. Pure."""

from collections.abc import Iterator
from typing import Any, Final

from pulp_api.openapi.calls import call
from pulp_api.v3.dialect import ROOT
from pulp_api.v3.parameters import TEXT, QueryParameter, controls

_METHODS: Final = {
    "list": ("get", ""),
    "create": ("post", ""),
    "read": ("get", "{href}"),
    "update": ("put", "{href}"),
    "partial_update": ("patch", "{href}"),
    "delete": ("delete", "{href}"),
    "list_roles": ("get", "{href}list_roles/"),
    "my_permissions": ("get", "{href}my_permissions/"),
    "add_role": ("post", "{href}add_role/"),
    "remove_role": ("post", "{href}remove_role/"),
    "set_label": ("post", "{href}set_label/"),
    "unset_label": ("post", "{href}unset_label/"),
    "reset": ("post", "{href}reset/"),
    "commit": ("post", "{href}commit/"),
    "replicate": ("post", "{href}replicate/"),
    "reclaim": ("post", ""),
}
"""The last word of an operationId → method and path, as Pulp 3 forms them."""
_CHANGES: Final = "create update partial_update delete"
_ROLES: Final = "list_roles my_permissions add_role remove_role"
_ALL: Final = f"list read {_CHANGES}"
_CALLS: Final = (
    # prefix of the operationIds, folder, name of the href, calls
    ("access_policies", "access_policies", "access_policy_href", "list read update partial_update reset"),
    ("acs", "acs", "", "list"),
    ("artifacts", "artifacts", "artifact_href", "list create read delete"),
    ("content", "content", "", "list"),
    ("contentguards", "contentguards", "", "list"),
    *(
        (f"contentguards_core_{kind}", f"contentguards/core/{kind}", f"{href}_content_guard_href", f"{_ALL} {_ROLES}")
        for kind, href in (
            ("composite", "composite"),
            ("content_redirect", "content_redirect"),
            ("header", "header"),
            ("rbac", "r_b_a_c"),
        )
    ),
    ("distributions", "distributions", "", "list"),
    ("domains", "domains", "domain_href", f"{_ALL} {_ROLES} set_label unset_label"),
    ("exporters", "exporters", "", "list"),
    ("exporters_core_pulp", "exporters/core/pulp", "pulp_exporter_href", _ALL),
    ("exporters_core_pulp_exports", "{pulp_exporter_href}exports", "pulp_pulp_export_href", "list create read delete"),
    ("groups", "groups", "group_href", f"{_CHANGES} {_ROLES}"),
    ("groups_roles", "{group_href}roles", "groups_group_role_href", "list create read delete"),
    ("groups_users", "{group_href}users", "groups_user_href", "create delete"),
    ("importers", "importers", "", "list"),
    ("importers_core_pulp", "importers/core/pulp", "pulp_importer_href", _ALL),
    ("importers_core_pulp_imports", "{pulp_importer_href}imports", "pulp_import_href", "list create read delete"),
    ("openpgp_keyring", "openpgp-keyring", "open_p_g_p_keyring_href", "list create read delete"),
    ("publications", "publications", "", "list"),
    ("remotes", "remotes", "", "list"),
    ("repositories_reclaim_space", "repositories/reclaim_space", "", "reclaim"),
    ("repository_versions", "repository_versions", "", "list"),
    ("roles", "roles", "role_href", _ALL),
    ("signing_services", "signing-services", "signing_service_href", "list read"),
    ("uploads", "uploads", "upload_href", f"list create read update delete commit {_ROLES}"),
    ("upstream_pulps", "upstream-pulps", "upstream_pulp_href", f"{_ALL} {_ROLES} replicate"),
    ("users", "users", "auth_user_href", _CHANGES),
    ("users_roles", "{auth_user_href}roles", "auth_users_user_role_href", "list create read delete"),
    ("vuln_report", "vuln_report", "vulnerability_report_href", "list create read delete"),
)
_ABOUT: Final = "Not served here: the answer is 404 or 405."
_BODY: Final = {"type": "object"}


def paths() -> dict[str, dict[str, Any]]:
    """The calls by path and method."""
    found: dict[str, dict[str, Any]] = {}
    for path, method, described in _described():
        found.setdefault(path, {})[method] = described
    return found


def _described() -> Iterator[tuple[str, str, dict[str, Any]]]:
    query = [*controls("limit offset ordering fields exclude_fields"), QueryParameter("name", TEXT)]
    for prefix, folder, href, names in _CALLS:
        for name in names.split():
            method, path = _METHODS[name]
            root = f"{folder}/" if folder.startswith("{") else f"{ROOT}/{folder}/"
            path = path.replace("{href}", f"{{{href}}}") or root
            inner = folder.partition("}")[0][1:] if folder.startswith("{") and path == root else ""
            described = call(
                f"{prefix}_{name}",
                summary=_ABOUT,
                href=inner or (href if path != root else None),
                query=query if name == "list" else (),
                body=_BODY if method in ("post", "put", "patch") else None,
                needs_body=False,
                codes=(200, 404, 405) if name == "read" else (404, 405),
            )
            yield path, method, described
