"""REST of the vault."""
