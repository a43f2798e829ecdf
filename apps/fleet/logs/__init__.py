"""Log lines as they come, as they are looked for, and as rules read them; nothing here touches the database."""
