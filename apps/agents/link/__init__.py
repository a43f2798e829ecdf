"""The connection to host agents: the socket, what processes ask of agents through it, and the executor that uses that.

One web process holds an agent's socket. Whoever wants something of the agent, in any process, writes an `AgentRequest`;
the process that holds the socket sends it and writes down what comes back. The database is the truth, the bell only
makes it quick.
"""
