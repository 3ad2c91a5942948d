"""What the operations take, and the resources that they must hold."""

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct
from pulp_worker import Context, OperationError
from pulp_worker.arguments import REMEMBERED, HttpUrl, RepositoryId

MOST_CONNECTIONS: Final = 64

Repository = Annotated[RepositoryId, Meta(description="The repository.", examples=["zoo"])]
VerifyTls = Annotated[bool, Meta(description="Whether to check the server's certificate.")]
Credential = Annotated[
    Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")] | None,
    Meta(description="The name of the workers' credential for this feed.", examples=["rhel"]),
]


class SyncArguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `sync` takes."""

    repo_id: Repository
    feed: Annotated[
        HttpUrl,
        Meta(
            description="The URL of the folder that holds its repodata/, of a mirror list or of a metalink. Default:"
            " that of the last sync.",
            examples=["https://example.org/repos/zoo/"],
        ),
        REMEMBERED,
    ]
    concurrency: Annotated[int, Meta(ge=1, le=MOST_CONNECTIONS, description="Downloads at once.")] = 4
    verify_tls: VerifyTls = True
    credential: Credential = None
    mode: Annotated[
        Literal["mirror", "additive"],
        Meta(description="mirror: hold exactly what the feed has; additive: also keep what the feed has dropped."),
    ] = "mirror"
    metadata: Annotated[
        Literal["regenerate", "mirror"],
        Meta(description="mirror: fetch every file that repomd.xml names, for a publish that mirrors the metadata."),
    ] = "regenerate"
    retention: Annotated[
        Annotated[int, Meta(ge=1, le=1000)] | None,
        Meta(description="How many versions to keep, including the newest. Default: the workers' setting."),
    ] = None
    most_removed_percent: Annotated[
        Annotated[int, Meta(ge=0, le=100)] | None,
        Meta(description="The share of the packages that the sync may remove. Default: the workers' setting."),
    ] = None
    allow_shrink: Annotated[bool, Meta(description="Let the sync remove any share of the packages.")] = False


class PublishArguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `publish` takes."""

    repo_id: Repository
    packages_url: Annotated[
        HttpUrl | None,
        Meta(
            description="A list of package names, one a line: only these are published.",
            examples=["https://example.org/lists/zoo.txt"],
        ),
    ] = None
    compression: Annotated[
        Literal["gzip", "zstd"],
        Meta(description="Compression of the metadata. Every client reads gzip; zstd needs EL 8 or later."),
    ] = "gzip"
    metadata: Annotated[
        Literal["regenerate", "mirror"],
        Meta(description="Generate the metadata, or mirror the feed's own with its signature."),
    ] = "regenerate"
    verify_tls: VerifyTls = True


class RemoveRepositoryArguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `remove-repository` takes."""

    repo_id: Repository
    missing_ok: Annotated[
        bool,
        Meta(
            description="Succeed even if the store has never held the repository, for example because it was never"
            " synced."
        ),
    ] = False


class RepairArguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `repair` takes."""

    repo_id: Annotated[
        RepositoryId | None, Meta(description="The repository. Default: all repositories.", examples=["zoo"])
    ] = None
    feed: Annotated[
        HttpUrl | None,
        Meta(
            description="Where to fetch from. Default: where each version came from.",
            examples=["https://example.org/repos/zoo/"],
        ),
    ] = None
    concurrency: Annotated[int, Meta(ge=1, le=MOST_CONNECTIONS, description="Downloads at once.")] = 4
    verify_tls: VerifyTls = True
    credential: Credential = None


class RemoveOrphansArguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `remove-orphans` takes."""

    content_type: Annotated[
        Literal["rpm", "distribution", "erratum", "package_group", "modulemd"] | None,
        Meta(
            description="Only content of this type: files of `rpm` are packages, those of `distribution` belong to"
            " installable trees, and other types have none. Default: everything that no repository holds.",
            examples=["rpm"],
        ),
    ] = None


def fencing_token(context: Context[Any], *resources: str) -> int:
    """The token of the first of these resources (`TYPE:ID`).

    Raises `OperationError` (`not-reserved`) if the task does not hold them all: its submission named other resources.
    """
    for resource in resources:
        if resource not in context.tokens:
            raise OperationError(
                "not-reserved",
                f"the task does not hold the resource {resource}: submit it without resources of its own, or name it",
            )
    return context.tokens[resources[0]]
