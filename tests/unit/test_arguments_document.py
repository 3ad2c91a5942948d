"""docs/develop/arguments.md: its program runs, and its refusal is the one that the API gives."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pulp_api.submitting.arguments import InvalidArguments, checker
from pulp_projections.personal.envelope import personal_in

TEXT = (Path(__file__).parents[2] / "docs/develop/arguments.md").read_text(encoding="utf-8")
PROGRAM, OF_PERSONS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
[ANSWER] = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)


def test_the_refusal() -> None:
    names: dict[str, Any] = {}
    exec(compile(PROGRAM, "arguments.md", "exec"), names)
    with pytest.raises(InvalidArguments) as refused:
        checker("mirror", json.dumps(names["mirror"].schema)).check({"repo_id": "zoo", "feed": "not-a-url"})
    [problem] = refused.value.problems
    told = {
        "detail": str(refused.value),
        "arguments": {problem.path: [problem.message]},
        "example": refused.value.example,
    }
    assert json.loads(ANSWER) == told


def test_the_declaration_of_personal_data() -> None:
    names: dict[str, Any] = {}
    exec(compile(OF_PERSONS, "arguments.md", "exec"), names)
    assert personal_in(names["invite"].schema) == {"email": "user"}
