"""Django's SQLite backend, with writers that take turns.

SQLite lets one writer in at a time and makes the others ask again, ever more seldom, up to every 100 ms. A writer that
comes back at once (pings under load, a reader with much to catch up) is then almost always first: the others wait for
seconds. Here a writer takes its turn at two file locks beside the database before it begins: whoever holds the first
is next, so the one that has just written can't overtake. The locks only order the writers; what they protect is still
SQLite's own affair, so a writer that waited its whole time-out goes on without them.
"""
