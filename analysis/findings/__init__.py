"""Findings: frames in, frames out."""
