"""The garbage collector of a process that makes very many objects at a time."""

import gc


def collect_seldom() -> None:
    """Let it look seldom for cycles, and not at what is there now. For the edge of a process: it holds for all of it.

    A batch of records, or a page of tasks, is very many objects without a cycle among them: looking for one would take
    up to a third of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
