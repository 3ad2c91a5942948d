"""Benchmarks: each measures ours and what it is compared with, in turns, in the same run. `./dev bench`."""
