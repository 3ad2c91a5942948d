"""Garbage collection in a process that creates very many objects at a time."""

import gc


def collect_seldom() -> None:
    """Freeze the objects that exist, and collect cycles rarely. It is process-wide: call it once at start-up.

    A batch of records or a page of tasks is very many objects without cycles, and looking for some would take up to a
    third of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
