"""Keys: the private one that signs, and the ring of public ones, each with the span of the log that it may sign.

A checkpoint has no trustworthy time, so a span is given in sizes of the log: a key signs from the size at which it
replaced its predecessor, up to the size at which its successor replaces it.
"""

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from pulp_transparency.checkpoint import Checkpoint, origin_of
from pulp_transparency.errors import KeyFault, NoteMalformed, RetiredKey
from pulp_transparency.note import NoteSigner, Verifier, is_private, opened

_FORMAT: Final = "pulp-tasks/keys/v1"


class RingKey(NamedTuple):
    """A public key. `after` are the sizes, by partition, at which it replaced its predecessor; else 0."""

    verifier: Verifier
    after: Mapping[int, int]


class KeyRing(NamedTuple):
    """The keys of one installation, oldest first. They all have the same name."""

    keys: tuple[RingKey, ...]
    has_spans: bool = True
    """False for a plain list of verifier keys, which has no spans: each of them may sign everything."""

    @classmethod
    def of(cls, vkey: str) -> Self:
        """A ring of one key. Raises `KeyFault`."""
        return cls((RingKey(Verifier.parse(vkey), {}),))

    @classmethod
    def parse(cls, text: str, place: str) -> Self:
        """The ring of its JSON; or of verifier keys, one a line. Raises `KeyFault`, which names `place`."""
        if is_private(text):  # no message may repeat it
            raise KeyFault(
                f"{place} holds a signing key, which is secret: name the file of verifier keys, which pulp-tasks audit"
                " keygen writes beside it (KEY.keys)"
            )
        lines = [line for line in text.split("\n") if line.strip() and not line.startswith("#")]
        try:
            if lines and not lines[0].lstrip().startswith("{"):
                ring = cls(tuple(RingKey(Verifier.parse(line), {}) for line in lines), has_spans=False)
            else:
                ring = cls._of_json(json.loads(text))
            return ring._checked()
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, KeyFault) as error:
            raise KeyFault(
                f"{place} does not hold verifier keys: {error}. Expected is what pulp-tasks audit keygen writes, or"
                " verifier keys (NAME+ID+KEY), one a line"
            ) from error

    @classmethod
    def read(cls, path: Path) -> Self:
        """The ring of a file. Raises `KeyFault`."""
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise KeyFault(
                f"{path} does not hold verifier keys: it is not text. Expected is what pulp-tasks audit keygen writes"
            ) from error
        except OSError as error:
            raise KeyFault(
                f"the verifier keys in {path} cannot be read: {error.strerror}. Name the file with --keys, or make a"
                " key with pulp-tasks audit keygen"
            ) from error
        return cls.parse(text, str(path))

    @property
    def name(self) -> str:
        """The name that all keys have."""
        return self.keys[-1].verifier.name

    def text(self) -> str:
        """The JSON of the ring."""
        keys = [
            {"vkey": each.verifier.vkey, "after": {str(partition): size for partition, size in each.after.items()}}
            for each in self.keys
        ]
        return json.dumps({"format": _FORMAT, "keys": keys}, indent=2) + "\n"

    def rotated(self, verifier: Verifier, sizes: Mapping[int, int]) -> Self:
        """The ring with a new key, which signs from these sizes on. Raises `KeyFault` if it has another name."""
        return self._replace(keys=(*self.keys, RingKey(verifier, dict(sizes))), has_spans=True)._checked()

    def verifiers(self, partition: int) -> list[Verifier]:
        """The verifier keys of a partition's log, oldest first. Its origin is the name of them all."""
        origin = origin_of(self.name, partition)
        return [each.verifier.named(origin) for each in self.keys]

    def open(self, note: str, partition: int) -> Checkpoint:
        """The checkpoint of a partition's log, as one of the keys has signed it within its span.

        Raises `NoteMalformed`, `UnknownKey`, `RetiredKey`, `SignatureWrong`.
        """
        known = self.verifiers(partition)
        text, signed = opened(note, known)
        checkpoint = Checkpoint.parse(text)
        if checkpoint.origin != origin_of(self.name, partition):
            raise NoteMalformed(
                f"the checkpoint is of the log {checkpoint.origin}, not {origin_of(self.name, partition)}"
            )
        spans = []
        for verifier in signed:
            least, most = self.span(known.index(verifier), partition)
            if checkpoint.size >= least and (most is None or checkpoint.size <= most):
                return checkpoint
            spans.append(f"{verifier.label} signs from {least} {'on' if most is None else f'to {most}'}")
        raise RetiredKey(f"the checkpoint of size {checkpoint.size} is outside the span of its key: {'; '.join(spans)}")

    def span(self, index: int, partition: int) -> tuple[int, int | None]:
        """From which size of a partition's log a key signs, and up to which; None if there is no end."""
        least = self.keys[index].after.get(partition, 0)
        if index + 1 == len(self.keys) or not self.has_spans:
            return least, None
        return least, self.keys[index + 1].after.get(partition, 0)

    def _checked(self) -> Self:
        names = {each.verifier.name for each in self.keys}
        if len(names) != 1:
            raise KeyFault(f"the keys have to have one name, and have {', '.join(sorted(names)) or 'none'}")
        if len({each.verifier.id for each in self.keys}) != len(self.keys):
            raise KeyFault("a key is there twice")
        return self

    @classmethod
    def _of_json(cls, found: Any) -> Self:
        if found.get("format") != _FORMAT:
            raise KeyFault(f"its format is {found.get('format')!r}, not {_FORMAT}")
        return cls(
            tuple(
                RingKey(Verifier.parse(each["vkey"]), {int(key): int(size) for key, size in each["after"].items()})
                for each in found["keys"]
            )
        )


def read_signer(path: Path) -> NoteSigner:
    """The private key in a file. Raises `KeyFault`, also if others may read the file."""
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFault(
            f"the signing key in {path} cannot be read: {error}. pulp-tasks audit keygen makes one"
        ) from error
    if mode & 0o077:
        raise KeyFault(
            f"others may read the signing key in {path}: close it with chmod 600 '{path}', or make a new one"
        )
    try:
        return NoteSigner.parse(text)
    except KeyFault as error:
        raise KeyFault(f"{path}: {error}") from error
