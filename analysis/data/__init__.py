"""Rows of the store as frames, SQL queries, training curves and published values."""
