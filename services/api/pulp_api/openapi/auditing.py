"""The OpenAPI path of the audit. Pure."""

from typing import Any

from pulp_api.openapi.calls import call
from pulp_api.openapi.schemas import answer
from pulp_api.v3.audit import PARAMETERS, AuditPageResponse


def paths(root: str) -> dict[str, Any]:
    """The calls, by path."""
    return {
        f"{root}/audit/": {
            "get": call(
                "audit_list", query=PARAMETERS, schema=answer(AuditPageResponse), codes=(200, 400, 403, 410, 504)
            )
        }
    }
