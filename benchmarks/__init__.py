"""Benchmarks: each measures our side and its peers in turns within one run. `./dev bench`."""
