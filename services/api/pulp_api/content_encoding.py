"""Which content codings a client takes (RFC 9110, section 12.5.3)."""


def accepted_encodings(header: str) -> set[str]:
    """The codings that an `Accept-Encoding` names, in lower case, without those that it refuses by a weight of zero."""
    found = set()
    for part in header.split(","):
        name, _, parameters = part.partition(";")
        weight = parameters.replace(" ", "").lower().removeprefix("q=")
        is_refused = parameters.strip() and not weight.strip("0.")
        if name.strip() and not is_refused:
            found.add(name.strip().lower())
    return found
