"""Classify, compare, statistics, drift, report: pure functions over recorded results."""
