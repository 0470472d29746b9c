"""Findings as text, Markdown, LaTeX, HTML and CSV."""
