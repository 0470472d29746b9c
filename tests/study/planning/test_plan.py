"""Plans: which trials a study asks for, which are missing, and how they are packed."""

import pytest
from small_study import SMALL_STUDY

from ablations import REGISTRY, Grid, Study
from analysis.data.published import published
from esbn_core.errors import ConfigError
from esbn_core.vocabulary import CONDITIONS
from study.planning import rows
from study.planning.plan import OwnImages, plan, select, variants
from study.store.store import Store


@pytest.mark.parametrize(
    ("name", "n_trials"),
    [
        ("quickstart", 124),
        ("withheld", 170),
        ("encoders", 510),
        ("tcn", 340),
        ("confidence", 510),
        ("keys", 10),
        ("architectures", 2380),
        ("rn_problems", 130),
        ("trn", 160),
        ("paper", 3550),
        ("rivals", 1700),
        ("separation", 720),
        ("comparison", 400),
        ("protocol", 580),
    ],
)
def test_declared_study_has_its_trials(name: str, n_trials: int) -> None:
    assert len(plan(REGISTRY[name])) == n_trials


def test_paper_plans_every_published_cell() -> None:
    planned = {(t.config.task.name, t.config.task.withheld, t.arm) for t in plan(REGISTRY["paper"], seeds=1)}
    missing = published().keys() - planned
    assert missing == set()


def test_paper_has_ten_networks_of_every_variant() -> None:
    assert {v.seeds for v in variants(REGISTRY["paper"])} == {10}


@pytest.mark.parametrize(
    ("arm", "partner", "changed"),
    [
        ("retrieval=scaled", "baseline", {"retrieval"}),
        ("retrieval=tied", "baseline", {"retrieval"}),
        ("retrieval=free", "retrieval=tied", {"retrieval"}),
        ("model=corelnet,variant=tied", "model=corelnet", {"variant"}),
        ("model=corelnet,variant=asymmetric", "model=corelnet,variant=tied", {"variant"}),
        ("model=corelnet,variant=with_content", "model=corelnet", {"variant"}),
        ("model=abstractor,tied=True", "model=abstractor", {"tied"}),
    ],
)
def test_arms_of_the_comparison_have_a_partner_one_setting_away(arm: str, partner: str, changed: set[str]) -> None:
    settings = {(t.arm, t.config.task.name): t.config.flat() for t in plan(REGISTRY["comparison"], seeds=1)}
    for task in CONDITIONS:
        one, other = settings[arm, task], settings[partner, task]
        assert {name for name in one if one[name] != other[name]} == changed


def test_rehearsal_is_another_trial_that_is_marked_and_short() -> None:
    real, rehearsed = plan(SMALL_STUDY), plan(SMALL_STUDY, limit_updates=150)
    assert [t.config.train.updates for t in rehearsed] == [min(150, t.config.train.updates or 0) for t in real]
    assert {t.arm for t in rehearsed} == {"rehearsal=True", "encoder=mlp,rehearsal=True"}
    assert all(rows.identity(t)["rehearsal"] for t in rehearsed)
    assert not {t.trial_id for t in real} & {t.trial_id for t in rehearsed}


def test_plan_lets_a_grid_ask_for_the_keys_of_some_seeds() -> None:
    grids = [Grid(arms=[{}], conditions={"rmts": (95,)}, seeds=n, keys=keys) for n, keys in ((5, False), (2, True))]
    trials = plan(Study(name="any", question="?", grids=grids))
    assert [t.keys for t in trials] == [True, True, False, False, False]


def test_paper_has_17_conditions() -> None:
    assert sum(len(numbers) for numbers in CONDITIONS.values()) == 17


def test_trials_of_an_arm_at_a_seed_differ_from_the_baseline_in_one_setting_besides_the_paper_s_rate() -> None:
    for name in ("encoders", "tcn", "confidence"):
        trials = plan(REGISTRY[name])
        baseline = {(t.config.task, t.config.seed): t.config.flat() for t in trials if t.arm == "baseline"}
        for trial in trials:
            other = baseline[trial.config.task, trial.config.seed]
            changed = {k for k, v in trial.config.flat().items() if other[k] != v} - {"learning_rate"}
            assert len(changed) == (trial.arm != "baseline")


def test_studies_share_their_baseline_trials() -> None:
    ids = [{t.trial_id for t in plan(REGISTRY[n]) if t.arm == "baseline"} for n in ("encoders", "tcn", "withheld")]
    assert ids[0] == ids[1] == ids[2]


def test_more_seeds_extend_a_plan() -> None:
    three, four = ({t.trial_id for t in plan(SMALL_STUDY, seeds=n)} for n in (3, 4))
    assert three < four
    assert len(four - three) == 4


def test_plan_keeps_a_trial_once_and_its_wish_for_keys() -> None:
    grid = {"arms": [{}], "conditions": {"same_different": (98,)}, "seeds": 1}
    for order in ([Grid(**grid), Grid(**grid, keys=True)], [Grid(**grid, keys=True), Grid(**grid)]):
        (trial,) = plan(Study(name="twice", question="?", grids=order))
        assert trial.keys


def test_plan_refuses_two_arms_that_are_the_same() -> None:
    same = Grid(arms=[{"updates": 32}, {"epochs": 32}], conditions={"same_different": (98,)})
    with pytest.raises(ConfigError, match="arms updates=32 and epochs=32 are the same at same_different m=98"):
        plan(Study(name="same", question="?", grids=[same]))


def test_plan_refuses_an_arm_that_changes_nothing() -> None:
    idle = Grid(arms=[{"tcn": "sequence"}], conditions={"same_different": (98,)})
    with pytest.raises(ConfigError, match="arm tcn=sequence changes nothing at same_different m=98"):
        plan(Study(name="idle", question="?", grids=[idle]))


def test_studies_that_share_a_baseline_agree_on_its_keys() -> None:
    wished = {t.trial_id for t in plan(REGISTRY["keys"])}
    for study in REGISTRY.values():
        for trial in plan(study):
            assert trial.keys == (trial.trial_id in wished)


def test_own_images_give_other_trials_under_another_arm() -> None:
    own = plan(SMALL_STUDY, images=OwnImages("a" * 64, 120))
    assert {t.arm for t in own} == {"images=aaaaaaaa", "images=aaaaaaaa,encoder=mlp"}
    assert not {t.trial_id for t in own} & {t.trial_id for t in plan(SMALL_STUDY)}


def test_own_images_are_refused_when_they_are_too_few() -> None:
    with pytest.raises(ConfigError, match="withheld=95 leaves 0 objects"):
        plan(SMALL_STUDY, images=OwnImages("a" * 64, 90))


def test_select_keeps_what_matches_every_filter() -> None:
    kept = select(plan(SMALL_STUDY), withheld=[98], arms=["baseline"])
    assert [(t.config.task.withheld, t.arm, t.config.seed) for t in kept] == [(98, "baseline", s) for s in range(5)]


def test_select_refuses_what_the_study_lacks() -> None:
    with pytest.raises(ConfigError, match="withheld=50 is not in this study; it has 95, 98"):
        select(plan(SMALL_STUDY), withheld=[50])


def test_grid_refuses_an_arm_that_sets_the_condition() -> None:
    with pytest.raises(
        ConfigError, match=r"arms\[0\].withheld=3 cannot be set here; conditions, seeds and options set it"
    ):
        Grid(arms=[{"withheld": 3, "seed": 1}], conditions={"same_different": (98,)})


def test_plan_refuses_a_condition_the_task_cannot_have() -> None:
    with pytest.raises(ConfigError, match="withheld=98 leaves 2 objects; rmts needs at least 5"):
        plan(Study(name="few", question="?", grids=[Grid(arms=[{}], conditions={"rmts": (98,)})]))


def test_plan_takes_more_withheld_objects_when_the_images_are_more() -> None:
    study = Study(name="many", question="?", grids=[Grid(arms=[{}], conditions={"rmts": (300,)}, seeds=1)])
    (trial,) = plan(study, images=OwnImages("a" * 64, 500))
    assert trial.config.task.n_train == 10_000


def test_plan_is_written_once_however_often_it_is_run(disk: Store) -> None:
    for _ in range(2):
        rows.write_plan(disk, SMALL_STUDY, plan(SMALL_STUDY))
    rows.write_plan(disk, SMALL_STUDY, plan(SMALL_STUDY, seeds=6))
    assert len(disk.names("plans")) == 2
