"""What each call of the API does, in one sentence."""

from typing import Final

SUMMARIES: Final = {
    "root_read": "List what there is, by name and URL; an HTML page for a browser.",
    "status_read": "Tell how the server, Kafka, the read model and the workers are.",
    "livez_read": "Answer 200 as long as the process answers at all.",
    "readyz_read": "Answer 200 if Kafka and Postgres answer and no data is in danger; with lag, slots and findings.",
    "docs_read": "Show this documentation as a page.",
    "docs_api.json_get": "Give the OpenAPI document as JSON.",
    "docs_api.yaml_get": "Give the OpenAPI document as YAML.",
    "tasks_list": "List tasks, a page at a time, newest first unless `ordering` says otherwise.",
    "tasks_create": "Submit a task. The answer comes once the task cannot be lost.",
    "tasks_read": "Read one task; with `as_of` as it was. `waiting_for` says why it waits.",
    "tasks_cancel": "Cancel a task. A `reason` is kept in its history.",
    "tasks_rerun": "Run a task again: a new task with the same operation, arguments, resources and tags.",
    "tasks_progress": "Read the newest progress object of a task.",
    "tasks_history": "List the events of a task in the order of the log.",
    "operations_list": "List what may be submitted, with the arguments that each operation takes.",
    "operations_read": "Read one operation.",
    "workers_list": "List workers, a page at a time: what they offer, what they run, and their slots.",
    "workers_read": "Read one worker.",
    "events_stream": "Follow the events of all tasks, or of one, as server-sent events.",
}
