"""Tamper evidence: each partition of the events topic is a transparency log (RFC 6962), in the formats of C2SP."""
