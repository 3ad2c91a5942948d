"""An asyncio program that follows events alongside its other work: it prints which syncs have ended, and how.

    python examples/subscriber_async.py --events 1   # and without --events for ever

It needs the package pulp-tasks and nothing else. Ctrl-C ends it after the event that it is handling.
"""

import argparse
import asyncio
import signal
import sys

from pulp_events import Event, Filter, Finished, PulpError, subscribe_async


async def main(arguments: list[str]) -> None:
    """Print the ends of tasks, and finally the cursor to continue from."""
    parser = argparse.ArgumentParser(description="Print which tasks have ended, and how.")
    parser.add_argument("--since", default="beginning", help="beginning, now, a time or a cursor")
    parser.add_argument("--events", type=int, help="stop after so many")
    options = parser.parse_args(arguments)
    seen = 0
    async with subscribe_async(since=options.since, filter=Filter(types=("finished",))) as events:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, events.stop)
        async for received in events:
            if isinstance(received.event, Event) and isinstance(received.event.data, Finished):
                print(received.event.task_id, received.event.data.outcome, flush=True)
            seen += 1
            if seen == options.events:
                events.stop()
    print(f"--since {events.cursor}")


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1:]))
    except PulpError as error:
        sys.exit(f"subscriber: {error}")
