"""The installation's two keys in `DATA_DIR/keys/`. Imports no Django: the supervisor uses it too."""

import base64
import os
import secrets
from pathlib import Path

from config import env


def _make(name: str) -> str:
    if name == "vault_key":
        return base64.b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_urlsafe(50)


def load_or_create(data_dir: Path, name: str) -> str:
    """Return the key kept in `data_dir/keys/name`, made on first use (directory 0700, file 0600).

    Raises:
        ConfigurationError: the file can be read by others, or can't be read or written.
    """
    folder = data_dir / "keys"
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            if path.stat().st_mode & 0o077:
                env.fail(str(path), f"others may read this key; run `chmod 600 {path}`.")
            return path.read_text().strip()
        with os.fdopen(descriptor, "w") as file:
            file.write(_make(name))
            file.flush()
            os.fsync(file.fileno())
        return path.read_text().strip()
    except OSError as error:
        env.fail("DATA_DIR", f"{path} can't be read or written ({error.strerror}); choose a folder that you may write.")
