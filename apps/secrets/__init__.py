"""The vault: secrets with names, versions and ends, for everything else that needs one."""
