"""Creates and replaces the signing key."""

import os
from collections.abc import Mapping
from pathlib import Path

from pulp_transparency.errors import KeyFault
from pulp_transparency.keys import KeyRing, RingKey, read_signer
from pulp_transparency.note import NoteSigner
from pulp_transparency.partition_log import write_whole
from pulp_transparency.tiles import CHECKPOINT


def is_cut(key: Path, ring: Path, folder: Path) -> bool:
    """Whether `make_key` was killed between its two files: the key is there alone, and no log in the folder is signed.

    A key that has signed may have followed others, so its verifier keys cannot be recreated.
    """
    return key.exists() and not ring.exists() and not any(folder.glob(f"*/{CHECKPOINT}"))


def make_key(key: Path, ring: Path, name: str, folder: Path | None = None) -> NoteSigner:
    """Create the first key, in a new file with mode 0600, and the file of verifier keys. Raises `KeyFault`, `OSError`.

    It completes an earlier call that was killed between the two files: it takes the existing key, if that has this name
    and has signed no log in the folder.
    """
    if key.exists() and not ring.exists() and folder is not None and not is_cut(key, ring, folder):
        raise KeyFault(
            f"{ring} is missing, and the key in {key} has signed the logs in {folder}: put the verifier keys back, from"
            " a backup or from those who check the log"
        )
    signer = read_signer(key) if key.exists() and not ring.exists() else None
    for path in (key, ring):
        if path.exists() and (signer is None or signer.name != name):
            raise KeyFault(f"{path} is there already, and stays: --rotate replaces a key")
    if signer is None:
        signer = NoteSigner.generate(name)
        key.parent.mkdir(parents=True, exist_ok=True)
        _write_private(key, signer)
    write_whole(ring, KeyRing((RingKey(signer.verifier, {}),)).text())
    return signer


def rotate_key(key: Path, ring: Path, sizes: Mapping[int, int]) -> NoteSigner:
    """Replace the key by a new one, which signs from these sizes of the logs on. The caller holds the folder's lock.

    The old private key is gone afterwards. Raises `KeyFault`, `OSError`.
    """
    known = KeyRing.read(ring)
    read_signer(key)
    signer = NoteSigner.generate(known.name)
    before = ring.stat()
    # The ring first: nobody could check a signature of a key that is in no ring.
    write_whole(ring, known.rotated(signer.verifier, sizes).text())
    if os.geteuid() == 0:  # the signing account must be able to read it
        os.chown(ring, before.st_uid, before.st_gid)
    _write_private(key, signer)
    return signer


def _write_private(path: Path, signer: NoteSigner) -> None:
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    owner = path.stat() if path.exists() else None
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        if owner is not None and os.geteuid() == 0:  # it still belongs to the signing account
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        file.write(signer.encode() + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
