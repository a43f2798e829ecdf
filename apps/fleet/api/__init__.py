"""The API of the fleet."""
