"""Beacon measures whether language models give people in different places different answers."""

__version__ = "0.1.0"
