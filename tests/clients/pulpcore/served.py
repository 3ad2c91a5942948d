"""Answers requests as the installed pulpcore does. Run by the Python of its environment, which the tests do not share.

Each line of its input is a JSON object, each line of its output the answer: `{"tasks": […], "groups": […]}` creates
rows, `{"get": PATH}` requests PATH from its application as an administrator. The settings come from the environment, as
pulpcore reads them.
"""

import json
import sys
from datetime import datetime
from importlib import import_module
from typing import Any


class Pulpcore:
    """The application in this process, with its tables in the database of the settings."""

    def __init__(self) -> None:
        self.django: Any = import_module("django")
        self.django.setup()
        self._command: Any = import_module("django.core.management").call_command
        self._command("migrate", verbosity=0, interactive=False)
        self._models: Any = import_module("pulpcore.app.models")
        users: Any = import_module("django.contrib.auth").get_user_model()
        admin = users.objects.create_superuser("admin", password="correct horse")
        self._client: Any = import_module("django.test").Client(raise_request_exception=False)
        self._client.force_login(admin)

    def fill(self, groups: list[str], tasks: list[dict[str, Any]]) -> None:
        """Create the rows of groups and tasks, parents first."""
        connection: Any = import_module("django.db").connection
        task_model, group_model = self._models.Task, self._models.TaskGroup
        known = {field.attname for field in task_model._meta.concrete_fields}
        for group in groups:
            group_model.objects.create(pulp_id=group, description="", all_tasks_dispatched=True)
        with connection.cursor() as cursor:
            # Its triggers prevent anybody from choosing the time of a task's creation.
            cursor.execute("alter table core_task disable trigger user")
        for task in tasks:
            times = {name: _time(task.pop(name)) for name in ("pulp_created", "pulp_last_updated")}
            for name in ("started_at", "finished_at", "unblocked_at"):
                task[name] = _time(task[name])
            made = task_model(**{name: value for name, value in task.items() if name in known})
            task_model.objects.bulk_create([made])
            task_model.objects.filter(pk=made.pk).update(**times)

    def get(self, path: str) -> tuple[int, Any]:
        """The status and the body; an answer that is not JSON is its text."""
        answer = self._client.get(path, HTTP_HOST="pulp")
        try:
            return answer.status_code, json.loads(answer.content)
        except ValueError:
            return answer.status_code, answer.content.decode(errors="replace")[:200]


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def main() -> None:
    """Answer line by line."""
    out, sys.stdout = sys.stdout, sys.stderr
    pulpcore = Pulpcore()
    print(json.dumps({"ready": True}), file=out, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "get" in order:
            status, body = pulpcore.get(order["get"])
            answer = {"status": status, "body": body}
        else:
            pulpcore.fill(order["groups"], order["tasks"])
            answer = {}
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
