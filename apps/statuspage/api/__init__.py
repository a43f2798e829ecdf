"""The API of the status pages, and their public paths."""
