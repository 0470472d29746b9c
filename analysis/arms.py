"""The labels of arms: ``key=value`` words joined by commas, each a change in the paper's ESBN."""

import re

BASELINE = "baseline"


def words(arm: str) -> list[str]:
    """What an arm changes, word by word; nothing in the baseline. A value may hold commas, as lists do."""
    return [] if arm == BASELINE else re.split(r",(?=\w+=)", arm)
