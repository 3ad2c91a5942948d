"""A real PgBouncer before a Postgres, where the machine has the program."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pulp_deploy.local.accounts import server_account
from pulp_deploy.local.ports import free_ports
from pulp_runtime.startup import wait_for_postgres

PROGRAM: Final = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin")
WHY_NOT: Final = "PgBouncer is NOT tested here: there is no program pgbouncer (on Debian: apt-get install pgbouncer)"
_LIMIT_S: Final = 30


@asynccontextmanager
async def pgbouncer(postgres: str, **settings: object) -> AsyncIterator[str]:
    """The connection string for a PgBouncer with these settings in front of the server of `postgres`."""
    target, [port] = conninfo_to_dict(postgres), free_ports(1)
    with _process(_configuration(target, port, settings)):
        through = make_conninfo("", host="127.0.0.1", port=port, user=target["user"], dbname=target["dbname"])
        through = make_conninfo(through, sslmode="disable", gssencmode="disable")
        await wait_for_postgres(through, _LIMIT_S)
        yield through


@contextmanager
def _process(configuration: str) -> Iterator[None]:
    assert PROGRAM is not None
    account = server_account()  # it does not run as root
    with tempfile.TemporaryDirectory(prefix="pulp-tasks-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        file = folder / "pgbouncer.ini"
        file.write_text(configuration)
        if account is not None:
            os.chown(file, *account.ids)
        file.chmod(0o600)
        with (folder / "pgbouncer.log").open("w") as log:
            process = subprocess.Popen(
                [PROGRAM, str(file)],
                stdout=log,
                stderr=log,
                user=None if account is None else account.user,
                group=None if account is None else account.group,
                extra_groups=None if account is None else [],
            )
        try:
            yield
        finally:
            process.terminate()
            process.wait(_LIMIT_S)


def _configuration(target: dict[str, Any], port: int, settings: dict[str, object]) -> str:
    given = {"listen_addr": "127.0.0.1", "listen_port": port, "unix_socket_dir": "", "auth_type": "any", **settings}
    server = f"host={target['host']} port={target['port']} user={target['user']} password={_password(target)}"
    return "\n".join(["[databases]", f"* = {server}", "[pgbouncer]", *(f"{key} = {given[key]}" for key in given), ""])


def _password(target: dict[str, Any]) -> str:
    """The password from the connection string, or from the password file of a local stack, which has one line."""
    if "passfile" in target:
        return Path(target["passfile"]).read_text().strip().rpartition(":")[2]
    return str(target.get("password", ""))
