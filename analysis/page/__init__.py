"""The report of a study as one web page."""
