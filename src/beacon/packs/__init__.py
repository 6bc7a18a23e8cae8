"""Built-in question packs."""
