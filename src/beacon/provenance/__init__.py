"""Canonical JSON, keys, envelopes, receipts, Merkle log."""
