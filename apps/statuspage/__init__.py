"""Status pages: what the public is told about components, incidents and maintenance."""
