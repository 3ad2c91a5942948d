"""Operations about persons, for the tests of personal data. Their results prove that they got the values, and hold none."""

import hashlib
from typing import Annotated

from msgspec import Struct
from pulp_worker import Context, operation
from pulp_worker.arguments import personal


class Invite(Struct, kw_only=True):
    """Both arguments are about the same person, whose name is personal, too."""

    person: Annotated[str, personal(of="person")]
    email: Annotated[str | None, personal(of="person")] = None
    note: str = ""


def proof_of(invite: Invite) -> str:
    """The result of an operation that got these arguments."""
    return hashlib.sha256(f"{invite.person}|{invite.email}|{invite.note}".encode()).hexdigest()


@operation("invite", arguments=Invite)
async def invite(context: Context[Invite]) -> str:
    """Prove which arguments arrived, on the worker's loop."""
    return proof_of(context.arguments)


@operation("invite-apart", arguments=Invite)
def invite_apart(context: Context[Invite]) -> str:
    """Prove which arguments arrived, in a separate process."""
    return proof_of(context.arguments)
