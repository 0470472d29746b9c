"""List prices of the machines that cluster.yaml names."""

import csv
from pathlib import Path


def prices() -> dict[str, float]:
    """Instance type -> USD an hour, on demand in us-east-1."""
    with Path(__file__).with_name("prices.csv").open(encoding="utf-8", newline="") as file:
        return {row["instance"]: float(row["usd_per_hour"]) for row in csv.DictReader(file)}
