"""What the source of a route's handler says: who may call it, and the status of its answer."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from enum import StrEnum
from types import FunctionType
from typing import Any, Final

from fastapi.routing import APIRoute
from pulp_api.authenticated_call import authenticated_call


class Access(StrEnum):
    """Who may call a route."""

    ANYONE = "anyone"
    USER = "user"
    SUBMITTER = "submitter"
    OPERATOR = "operator, or the submitter"
    SUBSCRIBER = "operator or submitter"
    AUDITOR = "auditor, or an administrator"
    OVERSEER = "operator, or an administrator"
    OWNER = "owner, or an administrator"
    SELF = "the user, or an administrator"
    ADMIN = "administrator"


_FOR_OPERATORS: Final = frozenset({"cancel", "cancel_all", "admit_cancels", "purge", "hide"})
_FOR_SUBMITTERS: Final = frozenset({"need_submitter", "submit", "rerun", "change_repository", "remove_repository"})
_FOR_OWNERS: Final = frozenset({"read_own", "read_own_schedule"})
_FOR_SUBSCRIBERS: Final = frozenset({"need_subscriber"})
_FOR_AUDITORS: Final = frozenset({"need_auditor"})
_FOR_ADMINS: Final = frozenset({"need_admin"})
_FOR_OVERSEERS: Final = frozenset({"need_operator"})
_FOR_ONESELF: Final = frozenset({"need_own", "need_no_token", "need_password"})
_STATUSES: Final = (201, 202, 204, 302, 404)


def access_of(route: APIRoute) -> Access:
    """Who may call the route; by the methods of `AuthenticatedCall` that its handler uses."""
    if not any(each.call is authenticated_call for each in route.dependant.dependencies):
        return Access.ANYONE
    names = {node.attr for node in _nodes(route.endpoint) if isinstance(node, ast.Attribute) and _is_call(node.value)}
    if names & _FOR_OPERATORS:
        return Access.OPERATOR
    if names & _FOR_OWNERS:
        return Access.OWNER
    if names & _FOR_ADMINS:
        return Access.ADMIN
    if names & _FOR_ONESELF:
        return Access.SELF
    if names & _FOR_OVERSEERS:
        return Access.OVERSEER
    if names & _FOR_AUDITORS:
        return Access.AUDITOR
    if names & _FOR_SUBSCRIBERS:
        return Access.SUBSCRIBER
    return Access.SUBMITTER if names & _FOR_SUBMITTERS else Access.USER


def status_of(route: APIRoute) -> int:
    """The status of a success: the one that the handler names, else 200."""
    named = {node.value for node in _nodes(route.endpoint) if isinstance(node, ast.Constant)}
    return next((status for status in _STATUSES if status in named), 200)


def _is_call(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "call"


def _nodes(function: Callable[..., Any], seen: frozenset[str] = frozenset()) -> Iterator[ast.AST]:
    """The nodes of a function, and of those that it calls in its module."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef))
    module = function.__globals__ if isinstance(function, FunctionType) else {}
    for node in (node for statement in tree.body for node in ast.walk(statement)):
        yield node
        if isinstance(node, ast.Name) and node.id not in seen:
            used = module.get(node.id)
            if isinstance(used, FunctionType) and used.__module__ == function.__module__:
                yield from _nodes(used, seen | {node.id})
