"""Dispatching: which waiting task begins next, and on which worker."""
