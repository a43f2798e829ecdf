"""Transitions of secrets, and the one way to use a value."""

from apps.secrets.services.expiry import tell_of_ends
from apps.secrets.services.rotation import rotate_secret, wipe_former
from apps.secrets.services.secrets import create_secret, delete_secret, update_secret
from apps.secrets.services.use import prune_uses, read_for_use, read_many_for_use, reveal_secret
from apps.secrets.services.vault import drill_vault

__all__ = [
    "create_secret",
    "delete_secret",
    "drill_vault",
    "prune_uses",
    "read_for_use",
    "read_many_for_use",
    "reveal_secret",
    "rotate_secret",
    "tell_of_ends",
    "update_secret",
    "wipe_former",
]
