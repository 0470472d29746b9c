"""The declared searches. `SPACES` lists them by name."""

from ablations.search_space import Parameter, SearchSpace

LEARNING_RATE = Parameter(low=5e-5, high=5e-3, log=True)

ONLY_LEARNING_RATE = SearchSpace(
    name="learning_rate",
    question="Which learning rate is best? The default search of `esbn run --tuned` for each arm.",
    task="same_different",
    withheld=95,
    parameters={"learning_rate": Parameter(low=1e-5, high=5e-3, log=True)},
    seeds=3,
    suggestions=12,
)

LEARNING_RATE_AND_TCN = SearchSpace(
    name="learning_rate_and_tcn",
    question="Do the learning rate and TCN matter for generalisation to unseen objects?",
    task="distribution_of_three",
    withheld=95,
    arm={"updates": 135},
    parameters={"learning_rate": LEARNING_RATE, "tcn": Parameter(choices=["sequence", "none"])},
)

WITHOUT_TCN = SearchSpace(
    name="without_tcn",
    question="What does the ESBN reach without TCN, where the paper lowered its learning rate by hand?",
    task="same_different",
    withheld=95,
    arm={"tcn": "none"},
    parameters={
        "learning_rate": Parameter(low=1e-5, high=5e-3, log=True),
        "batch_size": Parameter(choices=[8, 32, 128]),
        "encoder": Parameter(choices=["conv", "mlp", "random"]),
    },
    seeds=4,
)

SIZES = SearchSpace(
    name="sizes",
    question="How large does the ESBN need to be?",
    task="distribution_of_three",
    withheld=95,
    arm={"updates": 270},
    parameters={
        "learning_rate": LEARNING_RATE,
        "hidden_size": Parameter(low=32, high=512, log=True),
        "key_size": Parameter(low=16, high=256, log=True),
        "embedding_size": Parameter(low=16, high=128, log=True),
    },
)

MEMORY = SearchSpace(
    name="memory",
    question="Which confidence inputs, comparison and leak suit the memory best?",
    task="identity_rules",
    withheld=50,
    arm={"updates": 270},
    parameters={
        "learning_rate": LEARNING_RATE,
        "confidence": Parameter(choices=["on", "off", "default_memory"]),
        "retrieval": Parameter(choices=["plain", "scaled", "tied"]),
        "leak": Parameter(choices=[0.0, 0.01, 0.1]),
        "leak_into": Parameter(choices=["controller", "key", "output"], when={"leak": [0.01, 0.1]}),
    },
)

SPACES = {space.name: space for space in (ONLY_LEARNING_RATE, LEARNING_RATE_AND_TCN, WITHOUT_TCN, SIZES, MEMORY)}
