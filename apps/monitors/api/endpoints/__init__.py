"""The API of endpoint monitors."""
