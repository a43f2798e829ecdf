"""Services of the app, split by thing."""
