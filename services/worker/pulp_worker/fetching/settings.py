"""The settings of fetching, PULP_FETCH_*: how much an operation may fetch. Where from is in `rules`.

`pulp_worker.bounds` reads them. The processes of operations get them from their worker, not from the environment.
"""

from typing import Annotated, Final

from msgspec import Struct
from pulp_events.declared_settings import Setting, absolute_path

from pulp_worker.fetching.rules import Rules

_GIB: Final = 1 << 30
_DEFAULT_RULES: Final = Rules()
LOCAL_ALLOW: Final = ("public", "private", "loopback")
"""The destinations that a stack on one machine allows, since its feeds may be on that machine too."""


class FetchSettings(Struct, frozen=True, kw_only=True):
    """Where an operation may fetch from, and how much. Durations are in seconds."""

    rules: Rules = _DEFAULT_RULES
    redirects: Annotated[int, Setting("PULP_FETCH_REDIRECTS", "How many redirects one fetch follows.")] = 5
    downgrade: Annotated[
        bool,
        Setting("PULP_FETCH_DOWNGRADE", "Whether a redirect may lead from https to http.", choices=("no", "yes")),
    ] = False
    most_bytes: Annotated[int, Setting("PULP_FETCH_BYTES", "The largest size of one file, as sent.", least=1)] = (
        16 * _GIB
    )
    task_bytes: Annotated[
        int, Setting("PULP_FETCH_TASK_BYTES", "The most bytes that one fetcher of a task may fetch.", least=1)
    ] = 1024 * _GIB
    header_bytes: Annotated[
        int, Setting("PULP_FETCH_HEADER_BYTES", "The largest size of an answer's head.", least=1024)
    ] = 64 * 1024
    total_s: Annotated[
        float, Setting("PULP_FETCH_TOTAL_S", "How long one file may take, including all redirects.", least=1)
    ] = 4 * 3600
    connect_s: Annotated[
        float,
        Setting(
            "PULP_FETCH_CONNECT_S",
            "How long name resolution, the connection and TLS may each take.",
            least=0.1,
        ),
    ] = 10
    read_s: Annotated[
        float,
        Setting(
            "PULP_FETCH_READ_S",
            "How long the head of an answer may take, and then each wait for more bytes.",
            least=0.1,
        ),
    ] = 60
    lowest_rate: Annotated[
        int, Setting("PULP_FETCH_LOWEST_RATE", "The lowest rate of an answer, on average over the window; 0: any.")
    ] = 1000
    rate_window_s: Annotated[float, Setting("PULP_FETCH_RATE_WINDOW_S", "The window of the lowest rate.", least=1)] = 30
    unpacked_bytes: Annotated[
        int, Setting("PULP_FETCH_UNPACKED_BYTES", "The largest size of one file when unpacked.", least=1)
    ] = 4 * _GIB
    unpacked_ratio: Annotated[
        int,
        Setting(
            "PULP_FETCH_UNPACKED_RATIO",
            "How many times larger a file over 16 MiB may become when unpacked.",
            least=1,
        ),
    ] = 300
    credentials: Annotated[
        str | None,
        Setting(
            "PULP_FEED_CREDENTIALS",
            "A file of named credentials for feeds, or a folder of such files.",
            parse=absolute_path,
            allowed="a path",
        ),
    ] = None
    """Only the path: whoever needs a credential reads the file. Absolute, since an operation may change its folder."""
