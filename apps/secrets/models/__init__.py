"""Tables of the vault."""

from apps.secrets.models.secrets import Secret, SecretUse, SecretVersion
from apps.secrets.models.vault import VaultDrill

__all__ = ["Secret", "SecretUse", "SecretVersion", "VaultDrill"]
