"""The demonstration: the whole user guide, on a real yum repository."""
