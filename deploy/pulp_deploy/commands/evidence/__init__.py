"""The part of `pulp-tasks audit` that shows whether anything was altered: keys, checks and proofs of the log."""

from typing import Final

from pulp_deploy.commands.evidence.checking import verify
from pulp_deploy.commands.evidence.progress import status
from pulp_deploy.commands.evidence.proving import copy, prove
from pulp_deploy.commands.evidence.signing import keygen, keys

COMMANDS: Final = (verify, prove, keygen, keys, status, copy)
