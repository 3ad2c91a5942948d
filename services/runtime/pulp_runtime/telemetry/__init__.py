"""Metrics for Prometheus and traces. A process that does not measure imports no library for it."""
