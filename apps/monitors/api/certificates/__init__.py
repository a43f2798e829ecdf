"""The API of certificate monitors."""
