"""Users, roles, the permission matrix, sessions, JWT, API keys, MFA, password policy, IP rules."""
