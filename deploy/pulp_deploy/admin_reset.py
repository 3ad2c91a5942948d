"""The password of a local stack's administrator, in all files that hold it."""

import os

from pulp_deploy.credentials import is_ours, keep_password, url_in, users_client_file, write_client_file
from pulp_deploy.folder import DataFolder


def write_anew(folder: DataFolder, password: str) -> None:
    """Write a new password into the data folder, and into the user's client file if that is for this stack."""
    keep_password(folder.path, password)
    client_file = folder.path / "admin.toml"
    owner = folder.owner()
    url = (owner.url if owner is not None else None) or url_in(client_file)
    if url is None:
        return  # the next start writes it
    try:
        usual = users_client_file(os.environ)
    except RuntimeError:  # an account without a home folder
        usual = client_file
    is_for_this = usual.exists() and is_ours(usual) and url_in(usual) == url
    for path in {client_file, usual} if is_for_this else {client_file}:
        write_client_file(path, url, password)
