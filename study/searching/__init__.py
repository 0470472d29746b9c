"""Hyperparameter searches, and the tuned form of a study."""
