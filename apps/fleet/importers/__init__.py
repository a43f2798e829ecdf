"""What other tools know of machines: ssh_config, known_hosts, Ansible inventories."""

from apps.fleet.importers import ansible, known_hosts, ssh_config  # noqa: F401
from apps.fleet.importers.base import Draft, ImportFault, importers

__all__ = ["Draft", "ImportFault", "importers"]
