"""What recorded answers are and show: pure functions, no database, no network.

This package imports nothing on its own: light commands can name it without loading NumPy.
"""
