"""Rows of the store as frames, SQL answers, time courses and published values."""
