"""Feeds: where a repository is fetched from.

    async with context.fetcher(connections=4, credential=given.credential) as fetcher:
        feed = Feed(context, fetcher, given.feed)
        received = await feed.repomd(version.validators, version.repomd_checksum)
        if isinstance(received, Unchanged):
            ...
        await feed.metadata(entry, target)
        await feed.package(package, partial, lambda path: store.adopt(package, path))

`pulp_operations.feeds.feed` says what a feed may be.
"""

from pulp_operations.feeds.feed import Feed
from pulp_operations.feeds.received import (
    ABSENT,
    UNCHANGED,
    Differs,
    FeedDown,
    Fetched,
    Signature,
    Treeinfo,
    Unchanged,
    may_have_changed,
)

__all__ = [
    "ABSENT",
    "UNCHANGED",
    "Differs",
    "Feed",
    "FeedDown",
    "Fetched",
    "Signature",
    "Treeinfo",
    "Unchanged",
    "may_have_changed",
]
