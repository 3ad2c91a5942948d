"""Publishes the state of each task to a compacted topic, beside the live path."""
