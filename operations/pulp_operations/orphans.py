"""`remove-orphans`: delete packages that no repository holds."""

from pulp_worker import Context, Resource, operation

from pulp_operations.store import Store


@operation(
    "remove-orphans",
    cancellable=True,
    resources=[Resource("content_unit", "orphans")],
    tags=["pulp:content_unit:orphans"],
)
def remove_orphans(context: Context) -> object:
    """Remove content that no repository holds, and what is left of interrupted downloads.

    No sync and no publish runs meanwhile: they share the resource that this needs for itself.
    """
    store = Store(context.storage)
    referenced = store.referenced()
    removed, size_bytes = 0, 0
    for path in (*(store.root / "content").glob("*/*/*.rpm"), *(store.root / "partial").glob("*.part")):
        context.check_cancelled()
        if path not in referenced:
            size_bytes += path.stat().st_size
            path.unlink()
            removed += 1
    return {"removed": removed, "size": size_bytes} if removed else None
