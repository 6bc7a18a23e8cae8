"""Turns a job into recorded results: admission, dispatch, attempts, barrier, finalizing."""
