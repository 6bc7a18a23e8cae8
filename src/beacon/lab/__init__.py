"""Simulated providers and faults."""
