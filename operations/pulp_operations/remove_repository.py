"""`remove-repository`: remove a repository from the store."""

from pathlib import Path

from pulp_worker import Context, OperationError, Resource, operation

from pulp_operations.arguments import RemoveRepositoryArguments, fencing_token
from pulp_operations.fences import fenced, is_fenced
from pulp_operations.layout import discard, file_name, numbered
from pulp_operations.storage import telling_storage_errors
from pulp_operations.store import Store


@operation(
    "remove-repository",
    arguments=RemoveRepositoryArguments,
    cancellable=False,
    resources=[Resource("repository", "{repo_id}"), Resource("content_unit", "orphans", "shared")],
    tags=["pulp:repository:{repo_id}", "pulp:action:delete"],
)
@telling_storage_errors
def remove_repository(context: Context[RemoveRepositoryArguments]) -> dict[str, int]:
    """Remove a repository: its versions, publications and interrupted downloads.

    Its packages stay in the store until `remove-orphans` finds that no other repository holds them. The fencing token
    stays too, so that an earlier task that still runs writes nothing. Removing it again removes nothing, and succeeds;
    a repository that the store has never held is an error (`unknown-repository`) without `missing_ok`.
    """
    repo_id, missing_ok = context.arguments.repo_id, context.arguments.missing_ok
    token = fencing_token(context, f"repository:{repo_id}", "content_unit:orphans")
    store, name = Store(context.storage), file_name(repo_id)
    link = store.publication_link(repo_id)
    folders = {kind: store.root / kind / name for kind in ("publications", "repositories", "partial")}
    is_held = link.is_symlink() or any(folder.exists() for folder in folders.values())
    if not (is_held or missing_ok or is_fenced(store.root, repo_id)):
        raise OperationError(
            "unknown-repository", f"the store holds no repository {repo_id!r}: look up its id with pulp-admin repo list"
        )
    with fenced(store.root, repo_id, token):
        removed = {
            "versions": len(numbered(folders["repositories"] / "versions")),
            "publications": len(numbered(folders["publications"])),
            "downloads": _files_in(folders["partial"]),
        }
        link.unlink(missing_ok=True)  # first, so that no client begins to read a file while it is being removed
        for folder in folders.values():
            discard(folder)
    return removed


def _files_in(folder: Path) -> int:
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0
