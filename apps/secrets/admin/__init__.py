"""Pages of the vault in the console."""

from apps.secrets.admin import secrets  # noqa: F401
