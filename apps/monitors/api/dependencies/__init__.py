"""Dependencies in the API."""
