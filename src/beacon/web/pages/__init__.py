"""The portal's pages: rendered on the server, readable and usable without scripts."""
