"""Base of the REST API: one shape of errors, lists, permissions, limits and routes for all apps."""
