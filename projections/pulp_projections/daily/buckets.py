"""Durations in buckets whose width grows with the duration: counts of them can be added up, and give quantiles.

Integers only, so that Python and SQL agree on every machine. Below 32 ms a bucket is one millisecond; from there on
each power of two has 16 buckets of equal width.
"""

from typing import Final

_EXACT: Final = 32
_STEPS: Final = 16
"""Buckets for each power of two."""
RELATIVE_ERROR: Final = 1 / (2 * _STEPS)
"""The largest difference between a bucket's value and a duration in it, relative to the duration."""


def bucket_of(duration_ms: int) -> int:
    """The bucket of a duration; a negative one, from a clock that was set back, counts as zero."""
    if duration_ms < _EXACT:
        return max(duration_ms, 0)
    shift = duration_ms.bit_length() - _STEPS.bit_length()
    return shift * _STEPS + (duration_ms >> shift)


def span_of(bucket: int) -> tuple[int, int]:
    """The shortest duration in a bucket and the longest, in ms. Those below zero are in the first bucket as well."""
    if bucket < _EXACT:
        return bucket, bucket
    shift = bucket // _STEPS - 1
    shortest = (bucket - shift * _STEPS) << shift
    return shortest, shortest + (1 << shift) - 1


def milliseconds_of(bucket: int) -> float:
    """The duration that represents a bucket: the middle between its shortest and its longest one."""
    return sum(span_of(bucket)) / 2
