"""What a process tells a monitor: metrics for Prometheus. A process that was not told to measure imports no library."""
