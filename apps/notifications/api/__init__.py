"""REST API of the notifications."""
