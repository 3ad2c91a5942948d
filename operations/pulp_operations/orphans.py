"""`remove-orphans`: delete packages that no repository holds."""

import shutil

from pulp_worker import Context, Resource, operation

from pulp_operations.arguments import NoArguments, fencing_token
from pulp_operations.store import Store


@operation(
    "remove-orphans",
    arguments=NoArguments,
    cancellable=True,
    resources=[Resource("content_unit", "orphans")],
    tags=["pulp:content_unit:orphans"],
)
def remove_orphans(context: Context[NoArguments]) -> object:
    """Remove content that no repository holds, and what is left of interrupted downloads.

    No sync and no publish runs meanwhile: they share the resource that this needs for itself. A repository holds what
    its newest version holds, and the one before. The result is null where there was nothing to remove.
    """
    fencing_token(context, "content_unit:orphans")
    store = Store(context.storage)
    for folder in (store.root / "scratch").glob("*"):
        shutil.rmtree(folder, ignore_errors=True)
    referenced = store.referenced()
    removed, size_bytes = 0, 0
    for path in (*(store.root / "content").glob("*/*/*.rpm"), *(store.root / "partial").glob("*/*.part")):
        context.check_cancelled()
        if path not in referenced:
            size_bytes += path.stat().st_size
            path.unlink()
            removed += 1
    return {"removed": removed, "size": size_bytes} if removed else None
