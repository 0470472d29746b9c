"""Problem sets of a task, drawn from its config; the only place that maps a task's name to its module."""

import numpy as np

from esbn_core import counts
from esbn_core.config import ResolvedTask
from esbn_core.seeding import rng
from esbn_core.tasks import distribution_of_three, identity_rules, rmts, same_different
from esbn_core.tasks.problems import Problems, ProblemSets

TASKS = {
    "same_different": same_different.draw,
    "rmts": rmts.draw,
    "distribution_of_three": distribution_of_three.draw,
    "identity_rules": identity_rules.draw,
}


def build(task: ResolvedTask, seed: int) -> ProblemSets:
    """Draws the split of the objects and the problems of one trial.

    Args:
        seed: the trial's seed; the problems depend only on task and seed.
    Returns:
        Problem sets over object numbers 0 .. n_objects - 1. For m > 0, test problems show only withheld objects and
        training problems only the others; for m = 0, no test problem occurs in training. For `task.validation` see
        `_validated`.
    """
    draw = TASKS[task.name]
    order = rng(seed, "split").permutation(task.n_objects)
    withheld, kept = order[: task.withheld], order[task.withheld :]
    if task.validation is not None:
        return _validated(task, task.validation, withheld, kept, seed)
    if not task.withheld:
        train, test = draw(task.n_objects, [task.n_train, task.n_test], rng(seed, "problems"))
        every = np.arange(task.n_objects)
        return ProblemSets(train, test, withheld, every, every)
    if task.sampling == "as_released":
        train = rmts.draw_as_released(len(kept), task.n_train, rng(seed, "training problems"))
    else:
        (train,) = draw(len(kept), [task.n_train], rng(seed, "training problems"))
    (test,) = draw(len(withheld), [task.n_test], rng(seed, "test problems"))
    return ProblemSets(_over(kept, train), _over(withheld, test), withheld, np.sort(kept), np.sort(withheld))


def _validated(task: ResolvedTask, n_apart: int, withheld: np.ndarray, kept: np.ndarray, seed: int) -> ProblemSets:
    """Draws training and validation problems instead of training and test problems.

    If objects are held out (n_apart > 0), training shows only the other objects. Validation shows the held-out objects,
    filled up with training objects only if the task needs more. Otherwise no validation problem occurs in training; for
    m = 0, both sets come from the training problems of the same trial without validation, apart from their choices.
    """
    draw = TASKS[task.name]
    n_train, n_validation = counts.validation_sizes(task.name, len(kept), n_apart, task.n_train)
    if n_apart:
        apart, shown = kept[:n_apart], kept[n_apart:]
        pool = np.concatenate([apart, shown[: max(0, task.spec.min_objects - n_apart)]])
        (train,) = draw(len(shown), [n_train], rng(seed, "training problems"))
        (validation,) = draw(len(pool), [n_validation], rng(seed, "validation problems"))
        return ProblemSets(_over(shown, train), _over(pool, validation), withheld, np.sort(shown), np.sort(pool))
    if task.withheld:
        train, validation = draw(len(kept), [n_train, n_validation], rng(seed, "training problems"))
        pool = np.sort(kept)
        return ProblemSets(_over(kept, train), _over(kept, validation), withheld, pool, pool)
    # Same stream and same total as the tested trial, so the last problems are its test set, which is dropped.
    train, validation, _ = draw(task.n_objects, [n_train, n_validation, task.n_test], rng(seed, "problems"))
    every = np.arange(task.n_objects)
    return ProblemSets(train, validation, withheld, every, every)


def _over(objects: np.ndarray, problems: Problems) -> Problems:
    return problems._replace(indices_PT=objects[problems.indices_PT])
