"""What the OpenAPI document says of operations, and of the answer to a submission."""

from typing import Any, Final

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_TIME: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}
_NUMBER: Final[dict[str, Any]] = {"type": "integer"}
_FLAG: Final[dict[str, Any]] = {"type": "boolean"}
_LIST: Final[dict[str, Any]] = {"type": "array", "items": _TEXT}

ACCEPTED: Final = {
    "type": "object",
    "required": ["task"],
    "properties": {
        "task": {"type": "string", "description": "The href of the task."},
        "warnings": {**_LIST, "description": "What keeps the task from running now; left out where nothing does."},
    },
}
OPERATION: Final = {
    "type": "object",
    "properties": {
        "pulp_href": _TEXT,
        "name": _TEXT,
        "cancellable": _FLAG,
        "description": _TEXT,
        "resources": {"type": "array", "items": {"type": "object"}},
        "tags": {**_LIST, "nullable": True},
        "requires": {
            "type": "string",
            "nullable": True,
            "description": "The operation that must have succeeded on the same resource, or be under way.",
        },
        "arguments": {
            "type": "object",
            "nullable": True,
            "description": "JSON Schema (draft 2020-12) of the arguments; null: anything is taken.",
        },
        "parameters": {
            "type": "array",
            "nullable": True,
            "description": "The arguments one by one, in words.",
            "items": {
                "type": "object",
                "properties": {
                    "name": _TEXT,
                    "type": _TEXT,
                    "required": _FLAG,
                    "remembered": {
                        "type": "boolean",
                        "description": "It may be left out where an earlier task on the same resource had it.",
                    },
                    "default": {"nullable": True},
                    "description": _TEXT,
                    "expected": _TEXT,
                },
            },
        },
        "example": {"type": "object", "description": "A submission that is right."},
        "package": {"type": "string", "nullable": True},
        "version": {"type": "string", "nullable": True},
        "registered_by": {"type": "string", "description": "The worker whose declaration this is."},
        "registered_at": {**_TIME, "description": "When this declaration was first seen."},
        "workers": {
            "type": "array",
            "description": "The live workers that offer it.",
            "items": {
                "type": "object",
                "properties": {
                    "name": _TEXT,
                    "queues": _LIST,
                    "is_as_registered": {
                        "type": "boolean",
                        "nullable": True,
                        "description": "Whether the worker declares just this; null where it does not say.",
                    },
                },
            },
        },
    },
}


OPERATIONS: Final = {
    "type": "object",
    "properties": {"count": _NUMBER, "results": {"type": "array", "items": OPERATION}},
}
