"""Care of an installation: backups, restoring, moving to another database, and the doctor."""
