"""From a task's config to its problem sets; the one place a task's name meets its module."""

import numpy as np

from esbn_core.config import TaskConfig
from esbn_core.seeding import rng
from esbn_core.tasks import distribution_of_three, identity_rules, rmts, same_different
from esbn_core.tasks.problems import Problems, ProblemSets

TASKS = {
    "same_different": same_different.draw,
    "rmts": rmts.draw,
    "distribution_of_three": distribution_of_three.draw,
    "identity_rules": identity_rules.draw,
}


def build(task: TaskConfig, seed: int) -> ProblemSets:
    """Draws the split of the objects and the problems of one trial.

    Args:
        task: resolved, so that the sizes are known to be possible.
        seed: of the trial; task and seed alone decide the problems.
    Returns:
        Problem sets over object numbers 0 .. n_objects - 1. For m > 0 the withheld objects are the only ones of the
        test problems and the others the only ones of the training problems; for m = 0 no test problem occurs in
        training.
    """
    assert task.n_train is not None and task.n_test is not None
    draw = TASKS[task.name]
    if not task.withheld:
        train, test = draw(task.n_objects, [task.n_train, task.n_test], rng(seed, "problems"))
        return ProblemSets(train, test, np.empty(0, np.int64))
    order = rng(seed, "split").permutation(task.n_objects)
    withheld, kept = order[: task.withheld], order[task.withheld :]
    if task.sampling == "as_released":
        train = rmts.draw_as_released(len(kept), task.n_train, rng(seed, "training problems"))
    else:
        (train,) = draw(len(kept), [task.n_train], rng(seed, "training problems"))
    (test,) = draw(len(withheld), [task.n_test], rng(seed, "test problems"))
    return ProblemSets(_over(kept, train), _over(withheld, test), withheld)


def _over(objects: np.ndarray, problems: Problems) -> Problems:
    return problems._replace(indices_PT=objects[problems.indices_PT])
