"""Results that the clients of Pulp 3 read as progress reports."""

from pulp_api.v3.progress import REPORTED


def test_a_purge_reports_what_it_has_purged_as_pulp_does() -> None:
    reports = {report["code"]: report for report in REPORTED["purge-tasks"]({"purged": 3})}
    assert {code: report["total"] for code, report in reports.items()} == {
        "purge.tasks.total": 3,
        "purge.tasks.error": 0,
        "purge.tasks.key.core.Task": 3,
    }
    assert {report["state"] for report in reports.values()} == {"completed"}
