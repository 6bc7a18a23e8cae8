"""Checks a bundle: provenance and analysis together, no store, no network."""
