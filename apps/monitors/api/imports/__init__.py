"""The API by which monitors of other tools come in."""
