"""The API's pool recovers when Postgres is back, however long it was away."""

from pulp_api.main import connection_pool


async def test_pauses_between_attempts_to_connect_do_not_grow_beyond_some_seconds() -> None:
    pool = connection_pool("host=127.0.0.1 port=1", 4)
    assert pool.reconnect_timeout <= 5  # psycopg doubles them until then; a request then starts over
