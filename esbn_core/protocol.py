"""The paper's training protocol as data: epochs (Table 6) and learning rates (Table 5)."""

LEARNING_RATE = 5e-4
"""Adam step size with TCN, and without it unless listed below."""

_LOWER = 5e-5
LEARNING_RATE_WITHOUT_TCN = {
    **{("esbn", task): _LOWER for task in ("same_different", "rmts", "distribution_of_three", "identity_rules")},
    ("predinet", "distribution_of_three"): _LOWER,
    ("predinet", "identity_rules"): _LOWER,
    ("rn", "rmts"): _LOWER,
}
"""(model, task) -> Adam step size without TCN, where it is not `LEARNING_RATE` (Table 5)."""

EPOCHS = {
    "same_different": {0: 50, 95: 100},
    "rmts": {0: 50, 95: 200},
    "distribution_of_three": {0: 50, 95: 150},
    "identity_rules": {0: 50},
}
"""Task -> smallest m -> epochs, that is passes over the training problems (Table 6)."""

EPOCHS_OF_MODEL = {
    ("predinet", "distribution_of_three"): {0: 100, 95: 150},
    ("rn", "distribution_of_three"): {0: 150, 95: 800},
    ("predinet", "identity_rules"): {0: 100, 95: 150},
    ("rn", "identity_rules"): {0: 100, 95: 150},
    ("transformer", "identity_rules"): {0: 100, 95: 150},
}
"""The same for models that were trained longer (Tables 7 and 8)."""


def learning_rate(model: str, task: str, tcn: str) -> float:
    """Returns the Adam step size of the paper (section 4.1, Table 5)."""
    return LEARNING_RATE_WITHOUT_TCN.get((model, task), LEARNING_RATE) if tcn == "none" else LEARNING_RATE


def epochs(model: str, task: str, withheld: int) -> int:
    """Returns the epochs of training. An m that is not in the paper gets the epochs of the next smaller m that is."""
    table = EPOCHS_OF_MODEL.get((model, task), EPOCHS[task])
    return next(value for least, value in sorted(table.items(), reverse=True) if withheld >= least)
