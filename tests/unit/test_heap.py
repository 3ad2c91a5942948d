"""A process returns memory that it used for a while."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource
from pulp_runtime.heap import keep_heap_small

def pages():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

keep_heap_small()
largest = b"x" * 30_000_000
del largest
before, small, large = pages(), [], []
for _ in range(100):
    large.append(b"x" * 2_000_000)
    small.append([bytes(600) for _ in range(100)])
most = pages()
large.clear()
print(most - before, pages() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has such a heap")
def test_large_blocks_are_given_back_although_small_ones_between_them_are_kept() -> None:
    told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    most, kept = map(int, told.stdout.split())
    assert most > 200_000_000
    assert kept < 40_000_000
