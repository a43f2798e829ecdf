"""Views of the accounts' API, split by thing."""
