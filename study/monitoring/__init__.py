"""Status of a store, cost of a plan, speed of a machine."""
