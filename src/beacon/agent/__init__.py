"""The region-side mailbox server, with a small SQLite file of its own."""
