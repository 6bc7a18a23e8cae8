"""Programs for those who build Beacon; nothing here is needed to run it."""
