"""The paper's training protocol as data: epochs (Table 6) and learning rates (Table 5)."""

LEARNING_RATE = 5e-4
"""Adam step size with TCN, and without it unless listed below."""

LEARNING_RATE_WITHOUT_TCN = {"esbn": 5e-5}

EPOCHS = {
    "same_different": {0: 50, 95: 100},
    "rmts": {0: 50, 95: 200},
    "distribution_of_three": {0: 50, 95: 150},
    "identity_rules": {0: 50},
}
"""Per task: from which number of withheld objects on, how many passes over the training problems."""


def learning_rate(model: str, task: str, tcn: str) -> float:
    """Adam step size of the paper (section 4.1, Table 5)."""
    return LEARNING_RATE_WITHOUT_TCN.get(model, LEARNING_RATE) if tcn == "none" else LEARNING_RATE


def epochs(model: str, task: str, withheld: int) -> int:
    """Passes over the training problems; an m the paper lacks takes those of the next smaller one it has."""
    return next(value for least, value in sorted(EPOCHS[task].items(), reverse=True) if withheld >= least)
