"""The OpenAPI schemas of operations, and of the answer to a submission."""

from typing import Final

from pulp_api.v3.parameters import FLAG, LIST, NUMBER, TEXT, TIME

ACCEPTED: Final = {
    "type": "object",
    "required": ["task"],
    "properties": {
        "task": {"type": "string", "description": "The href of the task."},
        "warnings": {**LIST, "description": "What keeps the task from running now; left out where nothing does."},
    },
}
OPERATION: Final = {
    "type": "object",
    "properties": {
        "pulp_href": TEXT,
        "name": TEXT,
        "cancellable": FLAG,
        "description": TEXT,
        "resources": {"type": "array", "items": {"type": "object"}},
        "tags": {**LIST, "nullable": True},
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
                    "name": TEXT,
                    "type": TEXT,
                    "required": FLAG,
                    "remembered": {
                        "type": "boolean",
                        "description": "It may be left out where an earlier task on the same resource had it.",
                    },
                    "default": {"nullable": True},
                    "description": TEXT,
                    "expected": TEXT,
                },
            },
        },
        "example": {"type": "object", "description": "A submission that is right."},
        "retry": {
            "type": "object",
            "nullable": True,
            "description": "How often a task is tried again after a failed attempt; null: never.",
            "properties": {
                "retries": {"type": "integer"},
                "backoff_seconds": {"type": "number", "description": "Before the second attempt; then it doubles."},
                "max_backoff_seconds": {"type": "number"},
            },
        },
        "deadline_seconds": {
            "type": "integer",
            "nullable": True,
            "description": "For all attempts together, from the acceptance.",
        },
        "package": {"type": "string", "nullable": True},
        "version": {"type": "string", "nullable": True},
        "registered_by": {"type": "string", "description": "The worker whose declaration this is."},
        "registered_at": {**TIME, "description": "When this declaration was first seen."},
        "workers": {
            "type": "array",
            "description": "The live workers that offer it.",
            "items": {
                "type": "object",
                "properties": {
                    "name": TEXT,
                    "queues": LIST,
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
    "properties": {"count": NUMBER, "results": {"type": "array", "items": OPERATION}},
}
