"""The soak test: by hand, for hours."""
