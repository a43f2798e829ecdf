"""What is done to accounts: the only code that changes their state. Split by thing."""
