"""Agents: programs on other machines that Watchkeeper trusts, and what it trusts them with."""
