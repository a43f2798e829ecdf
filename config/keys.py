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


def former_vault_keys(data_dir: Path) -> list[str]:
    """Return the vault keys that were replaced here and still count, the latest first."""
    path = data_dir / "keys" / "vault_keys_old"
    try:
        if path.stat().st_mode & 0o077:
            env.fail(str(path), f"others may read these keys; run `chmod 600 {path}`.")
        lines = path.read_text().split()
    except FileNotFoundError:
        return []
    except OSError as error:
        env.fail("DATA_DIR", f"{path} can't be read ({error.strerror}); run this as the owner of the folder.")
    return list(dict.fromkeys(reversed(lines)))


def replace_vault_key(data_dir: Path) -> None:
    """Make a new vault key in `data_dir/keys/`; the present one goes among the former ones first.

    A crash between the two steps leaves the present key in force, listed among the former ones too: that is harmless.
    """
    folder = data_dir / "keys"
    present = load_or_create(data_dir, "vault_key")
    _write(folder / "vault_keys_old", "\n".join([*reversed(former_vault_keys(data_dir)), present]))
    _write(folder / "vault_key", _make("vault_key"))


def forget_former_vault_keys(data_dir: Path) -> None:
    """Remove the file of the former vault keys."""
    (data_dir / "keys" / "vault_keys_old").unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    """Put a text in the place of a file, whole or not at all, readable by its owner alone."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
