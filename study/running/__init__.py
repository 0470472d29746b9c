"""Runs: training the missing trials of a study on Ray Tune."""
