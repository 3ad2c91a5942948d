"""A program downstream: counts how tasks ended, by operation, exactly once.

    python examples/subscriber.py outcomes.sqlite            # up to where the log ends now
    python examples/subscriber.py outcomes.sqlite --follow   # and then live

It needs the package pulp-tasks and nothing else. It reads the Kafka of PULP_KAFKA, else that of the running local
stack.

Stop it whenever you like, with kill -9 if you must: it continues where it was. The counts and the cursor after the
counted events change in one transaction, so no event is counted twice or left out.
"""

import argparse
import sqlite3
import sys
from contextlib import closing

import msgspec
from pulp_events import FINAL, Event, Ignored, PulpError, Received, Subscription, Task, evolve, subscribe

TABLES = """
create table if not exists tasks (task_id text primary key, task blob not null);
create table if not exists outcomes (
    operation text, outcome text, tasks integer not null, primary key (operation, outcome)
);
create table if not exists place (cursor text not null);
"""


def main(arguments: list[str]) -> None:
    """Read the command line, count, print the counts."""
    parser = argparse.ArgumentParser(description="Count how tasks ended.")
    parser.add_argument("database", help="a file of SQLite, made if it is missing")
    parser.add_argument("--kafka", help="HOST:PORT of a broker (PULP_KAFKA, else the local stack)")
    parser.add_argument("--prefix", help="what the topics' names start with (PULP_TOPIC_PREFIX, else pulp.tasks)")
    parser.add_argument("--follow", action="store_true", help="wait for more events")
    options = parser.parse_args(arguments)
    with closing(sqlite3.connect(options.database)) as database:
        database.executescript(TABLES)
        with resume(database, options.kafka, options.prefix, follow=options.follow) as events:
            for received in events:
                with database:  # one transaction for the effect and the place
                    count(database, received)
                    store(database, str(events.cursor))
        for operation, outcome, tasks in database.execute("select * from outcomes order by 1, 2"):
            print(f"{operation:<20} {outcome:<12} {tasks}")


def resume(database: sqlite3.Connection, kafka: str | None, prefix: str | None, *, follow: bool) -> Subscription:
    """The events after the stored place; from the start of the log if there is none."""
    place = database.execute("select cursor from place").fetchone()
    return subscribe(kafka, prefix=prefix, since=place[0] if place else "beginning", follow=follow)


def count(database: sqlite3.Connection, received: Received) -> None:
    """Fold the event into its task; count the task when that ends it."""
    if received.event is None:
        print(f"no event at {received.position}: {received.error}", file=sys.stderr)
        return
    if not isinstance(received.event, Event):
        return  # of a type that this version does not know
    task_id = str(received.event.task_id)
    row = database.execute("select task from tasks where task_id = ?", (task_id,)).fetchone()
    before = msgspec.json.decode(row[0], type=Task) if row else None
    task = evolve(before, received.event, received.position, received.timestamp_ms)
    if isinstance(task, Ignored):
        return  # such as the end that a worker reports of a task that has ended already
    database.execute("insert or replace into tasks values (?, ?)", (task_id, msgspec.json.encode(task)))
    if task.state in FINAL:
        database.execute(
            "insert into outcomes values (?, ?, 1) on conflict do update set tasks = tasks + 1",
            (task.operation, task.state.value),
        )


def store(database: sqlite3.Connection, cursor: str) -> None:
    """The next run continues there. A cursor of a topic that was created again is refused, because its offsets mean
    other events."""
    database.execute("delete from place")
    database.execute("insert into place values (?)", (cursor,))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except PulpError as error:  # such as no Kafka, or positions of a topic that was created again
        sys.exit(f"subscriber: {error}")
