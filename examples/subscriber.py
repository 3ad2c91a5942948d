"""A program downstream: counts how tasks ended, by operation, exactly once.

    python examples/subscriber.py outcomes.sqlite            # up to where the log ends now
    python examples/subscriber.py outcomes.sqlite --follow   # and then live

It needs the package pulp-tasks and nothing else. Kafka is that of PULP_KAFKA, else that of the local stack that runs.

Stop it whenever you like, with kill -9 if you must: it goes on where it was. The counts and the positions of the
events that are in them change in one transaction, so no event is counted twice or left out.
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
create table if not exists positions (partition integer primary key, next_offset integer not null);
create table if not exists topic (id text not null);
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
                with database:  # one transaction for the effect and the position
                    count(database, received)
                    store_position(database, received)
        for operation, outcome, tasks in database.execute("select * from outcomes order by 1, 2"):
            print(f"{operation:<20} {outcome:<12} {tasks}")


def resume(database: sqlite3.Connection, kafka: str | None, prefix: str | None, *, follow: bool) -> Subscription:
    """The stream after the stored positions; from the start of the log if there are none."""
    positions = dict(database.execute("select partition, next_offset from positions"))
    topic_id = database.execute("select id from topic").fetchone()
    events = subscribe(
        kafka,
        prefix=prefix,
        positions=positions or None,
        topic_id=topic_id[0] if topic_id else None,  # a topic made anew is refused: its offsets mean something else
        follow=follow,
    )
    if topic_id is None:
        with database:
            database.execute("insert into topic values (?)", (events.topic_id,))
    return events


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


def store_position(database: sqlite3.Connection, received: Received) -> None:
    """The next event of this partition is the one after `received`."""
    partition, offset = received.position
    database.execute("insert or replace into positions values (?, ?)", (partition, offset + 1))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except PulpError as error:  # such as no Kafka, or positions of a topic that was made anew
        sys.exit(f"subscriber: {error}")
