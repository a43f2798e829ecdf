"""Terminals: shells on machines, what is kept of them, and the thread that follows one. No sockets here."""
