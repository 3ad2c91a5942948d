"""Who may name the operation `purge-tasks` in a submission, on any path."""

import pytest
from pulp_accounts.users import Role
from pulp_api.logins.auth import Forbidden, Principal
from pulp_api.purging import check_operation


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.ADMIN])
def test_who_may_purge_any_task_may_name_it(role: Role) -> None:
    check_operation(Principal("ann", role), "purge-tasks")


def test_a_submitter_may_not() -> None:
    with pytest.raises(Forbidden, match="user ann may purge own tasks only"):
        check_operation(Principal("ann", Role.SUBMITTER), "purge-tasks")
    check_operation(Principal("ann", Role.SUBMITTER), "sync")
