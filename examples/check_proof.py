"""Checks a proof of the log without Pulp Tasks: only with Python and the package `cryptography`.

    python check_proof.py --vkey VKEY PROOF                      # of consistency
    python check_proof.py --vkey VKEY PROOF --record RECORD.json # of inclusion

VKEY is the verifier key of the partition, which `pulp-tasks audit keys` prints: get it from somebody whom you trust,
not from who gave you the proof. Give several after a rotation. RECORD.json holds the record, as `pulp-tasks audit
prove` writes it. It exits with 0 if the proof holds, with 1 if not, and with 2 if a file cannot be read.
"""

import argparse
import base64
import json
import struct
import sys
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

INCLUSION = "c2sp.org/tlog-proof@v1"
CONSISTENCY = "pulp-tasks/consistency-proof@v1"


class Wrong(Exception):
    """The proof does not hold, and why."""


def decoded(text: str) -> bytes:
    """The bytes of base64 in its one right spelling: no bit of a proof may change and mean the same."""
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise Wrong(f"{text!r} is not the base64 of anything")
    return data


def open_checkpoint(note: str, vkeys: list[str]) -> tuple[str, int, bytes]:
    """Origin, size and root of a checkpoint that one of the keys has signed."""
    text, gap, signatures = note.rpartition("\n\n")
    if not gap or not signatures.endswith("\n"):
        raise Wrong("the checkpoint is not a signed note")
    text += "\n"
    for vkey in vkeys:
        try:
            name, key_id, encoded = vkey.split("+", 2)
            key = base64.b64decode(encoded, validate=True)
        except ValueError:
            raise Wrong("a --vkey is not a verifier key: NAME+ID+KEY is expected") from None
        if sha256(f"{name}\n".encode() + key).hexdigest()[:8] != key_id or key[:1] != b"\x01" or len(key) != 33:
            raise Wrong(f"the --vkey {name}+{key_id} is not a verifier key of Ed25519")
        for line in signatures[:-1].split("\n"):
            dash, signer, signature = line.split(" ")
            data = decoded(signature)
            if dash != "\N{EM DASH}" or signer != name or data[:4].hex() != key_id:
                continue
            try:
                Ed25519PublicKey.from_public_bytes(key[1:]).verify(data[4:], text.encode())
            except InvalidSignature:
                raise Wrong(f"the checkpoint was altered: {name}+{key_id} has not signed it") from None
            origin, size, root = text.split("\n")[:3]
            if origin != name:
                raise Wrong(f"the checkpoint is of the log {origin}, and the key is that of {name}")
            return origin, int(size), decoded(root)
    raise Wrong("the checkpoint is signed by another key, and vouches for nothing")


def entry_of(record: dict[str, object]) -> bytes:
    """The bytes that the log has of a record: docs/audit.md describes them."""

    def sized(data: bytes | None) -> bytes:
        return b"\xff\xff\xff\xff" if data is None else struct.pack(">I", len(data)) + data

    def binary(text: object) -> bytes | None:
        return None if text is None else decoded(str(text))

    headers = record["headers"]
    if not isinstance(headers, list) or not all(isinstance(name, str) for name, _ in headers):
        raise Wrong("the record has no headers: a list of names and values is expected")
    parts = [sized(binary(record["key"])), struct.pack(">I", len(headers))]
    for name, value in headers:
        parts += [sized(name.encode()), sized(binary(value))]
    digest = sha256(b"".join([*parts, sized(binary(record["value"]))])).digest()
    return struct.pack(">4sIQq32s", b"PTL\x01", record["partition"], record["offset"], record["timestamp_ms"], digest)


def above(left: bytes, right: bytes) -> bytes:
    """The hash of a node, as in RFC 6962."""
    return sha256(b"\x01" + left + right).digest()


def root_of_path(index: int, size: int, leaf: bytes, path: list[bytes]) -> bytes:
    """The root to which a path leads from a leaf: from the top down, halving as in RFC 6962, section 2.1.1."""
    if size == 1:
        if path:
            raise Wrong("the proof has too many hashes")
        return leaf
    if not path:
        raise Wrong("the proof has too few hashes")
    half = 1 << ((size - 1).bit_length() - 1)
    if index < half:
        return above(root_of_path(index, half, leaf, path[:-1]), path[-1])
    return above(path[-1], root_of_path(index - half, size - half, leaf, path[:-1]))


def roots_of_path(old: int, new: int, old_root: bytes, path: list[bytes], is_whole: bool = True) -> tuple[bytes, bytes]:
    """The roots of the older and the newer tree to which a path leads, as in RFC 6962, section 2.1.2."""
    if old == new:
        if is_whole:
            if path:
                raise Wrong("the proof has too many hashes")
            return old_root, old_root
        if len(path) != 1:
            raise Wrong("the proof has another length")
        return path[0], path[0]
    if not path:
        raise Wrong("the proof has too few hashes")
    half = 1 << ((new - 1).bit_length() - 1)
    if old <= half:
        first, second = roots_of_path(old, half, old_root, path[:-1], is_whole)
        return first, above(second, path[-1])
    first, second = roots_of_path(old - half, new - half, old_root, path[:-1], False)
    return above(path[-1], first), above(path[-1], second)


def check_inclusion(text: str, record: dict[str, object], vkeys: list[str]) -> str:
    """What the proof shows. Raises `Wrong`."""
    head, _, note = text.partition("\n\n")
    _, extra, index, *path = head.split("\n")
    entry = entry_of(record)
    if decoded(extra.removeprefix("extra ")) != entry:
        raise Wrong("the record is not the one of the proof: it was altered")
    origin, size, root = open_checkpoint(note, vkeys)
    place = int(index.removeprefix("index "))
    if not 0 <= place < size:
        raise Wrong("the index is not in the log")
    hashes = [decoded(each) for each in path]
    if not origin.endswith(f"/{record['partition']}"):
        raise Wrong(f"the record is of partition {record['partition']}, and the log is {origin}")
    if root_of_path(place, size, sha256(b"\x00" + entry).digest(), hashes) != root:
        raise Wrong("the proof does not lead to the root of its checkpoint")
    return f"record {record['partition']}:{record['offset']} is number {place} of the {size} records of {origin}"


def check_consistency(text: str, vkeys: list[str]) -> str:
    """What the proof shows. Raises `Wrong`."""
    head, _, rest = text.partition("\n\n")
    _, length, *path = head.split("\n")
    data, split = rest.encode(), int(length.removeprefix("old "))
    old_origin, old, old_root = open_checkpoint(data[:split].decode(), vkeys)
    origin, new, new_root = open_checkpoint(data[split:].decode(), vkeys)
    if old_origin != origin or old > new:
        raise Wrong("the two checkpoints are not an older and a newer one of the same log")
    hashes = [decoded(each) for each in path]
    if old == 0:
        found = (sha256(b"").digest(), new_root) if not hashes else (b"", b"")
    else:
        found = roots_of_path(old, new, old_root, hashes)
    if found != (old_root, new_root):
        raise Wrong("the newer log does not continue the older one")
    return f"the {new} records of {origin} begin with the {old} of the older checkpoint"


def main() -> int:
    """The command: exits 0 if it is proved, 1 if not, 2 if there is nothing to check."""
    parser = argparse.ArgumentParser(description="Check a proof of the log.")
    parser.add_argument("proof", type=Path)
    parser.add_argument("--vkey", action="append", required=True, help="verifier key of the partition; may be repeated")
    parser.add_argument("--record", type=Path, help="the record, for a proof of inclusion")
    given = parser.parse_args()
    try:
        text = given.proof.read_text(encoding="utf-8")
        if text.startswith(INCLUSION + "\n"):
            if given.record is None:
                parser.error("a proof of inclusion needs --record")
            said = check_inclusion(text, json.loads(given.record.read_text(encoding="utf-8")), given.vkey)
        elif text.startswith(CONSISTENCY + "\n"):
            said = check_consistency(text, given.vkey)
        else:
            raise Wrong("this is not a proof of the log")
    except OSError as error:
        print(f"{error.filename} cannot be read: {error.strerror}", file=sys.stderr)
        return 2
    except Wrong as error:
        print(f"NOT PROVED: {error}", file=sys.stderr)
        return 1
    except (ValueError, KeyError, TypeError, RecursionError, struct.error) as error:
        print(f"NOT PROVED: the files do not have the form of a proof and a record: {error!r}", file=sys.stderr)
        return 1
    print(f"proved: {said}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
