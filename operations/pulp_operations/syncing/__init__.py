"""The steps of a sync."""
