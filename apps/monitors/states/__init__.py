"""States of the app's things and the moves between them, split by thing."""
