"""Logs, traces, metrics, KPIs."""
