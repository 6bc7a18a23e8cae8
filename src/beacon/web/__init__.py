"""API, live events, portal pages and their templates and static files, auth."""
