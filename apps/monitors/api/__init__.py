"""The API of the app, split by thing."""
