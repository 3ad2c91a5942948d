"""Operations with something to see on the page, which tests hold back and let go on."""

import asyncio
from typing import Annotated, Literal

from msgspec import Meta, Struct
from pulp_worker import Context, Resource, operation
from pulp_worker.arguments import HttpUrl, RepositoryId


class Copied(Struct, kw_only=True):
    """What `copy` takes."""

    repo_id: RepositoryId
    items: Annotated[int, Meta(ge=1, le=1000, description="How many to copy.")] = 10
    stop_at: Annotated[int, Meta(ge=0, description="After so many it waits, until it is cancelled.")] = 1000
    fails: Annotated[bool, Meta(description="Whether it fails at the end.")] = False
    source: HttpUrl | None = None
    mode: Literal["full", "newest"] = "full"


@operation("copy", arguments=Copied, cancellable=True, resources=[Resource("repository", "{repo_id}")])
async def copy(context: Context[Copied]) -> dict[str, int]:
    """Copy the items of a repository."""
    items = context.arguments.items
    for done in range(items + 1):
        context.check_cancelled()
        context.report(
            {
                "yum_importer": {
                    "content": {
                        "items_total": items,
                        "items_left": items - done,
                        "num_success": done,
                        "details": {"rpm": {"items_total": items, "items_left": items - done, "num_error": 0}},
                        "state": "IN_PROGRESS" if done < items else "FINISHED",
                    },
                    "metadata": {"state": "FINISHED"},
                }
            }
        )
        if done == context.arguments.stop_at:
            await context.wait_cancelled()
        await asyncio.sleep(0)
    if context.arguments.fails:
        raise RuntimeError("the mirror does not answer: Connection refused")
    return {"items": items}


@operation("stubborn", resources=[Resource("repository", "{repo_id}")])
async def stubborn(context: Context) -> str:
    """Run until a file named `go` is there; it cannot be cancelled."""
    context.report({"step": "waiting"})
    while not (context.storage / "go").exists():  # noqa: ASYNC110  # a file cannot be waited for
        await asyncio.sleep(0.02)
    return "went"


@operation("glance")
async def glance(context: Context) -> None:
    """Do nothing; only one test runs it, which knows how often."""
