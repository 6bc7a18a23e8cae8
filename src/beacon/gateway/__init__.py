"""The router as a service."""
