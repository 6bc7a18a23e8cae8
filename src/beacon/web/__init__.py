"""The API, live events and the portal's pages."""
