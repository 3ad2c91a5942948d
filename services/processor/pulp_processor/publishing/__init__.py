"""Publishes the state of each task to a compacted topic, outside the live path."""
