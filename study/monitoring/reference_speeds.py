"""Measurement of the speeds that forecasts start from, printed as study/planning/speeds.csv."""

import sys
from collections import defaultdict

from ablations import REGISTRY
from esbn_core.config import TrialConfig
from esbn_core.objects import glyphs
from study.monitoring.cost import Speeds, hardware, plain_kind
from study.planning.plan import variants
from study.planning.speeds import COLUMNS, Kind, kind, training_objects


def main() -> None:
    """Measures each kind of trial of the declared studies, at the fewest and the most objects it trains on."""
    configs: dict[Kind, dict[int, TrialConfig]] = defaultdict(dict)
    for config in (variant.config for study in REGISTRY.values() for variant in variants(study)):
        configs[kind(config)].setdefault(training_objects(config), config)
    print(f"# {hardware()}, one thread")
    print(*COLUMNS, sep=",")
    with Speeds(glyphs(), lambda line: print(line, file=sys.stderr)) as speeds:
        for name, of_kind in sorted(configs.items()):
            for objects in sorted({min(of_kind), max(of_kind)}):
                speed = speeds.of(plain_kind(of_kind[objects]), objects, " ".join(name))
                print(*name, objects, *(f"{1000 * seconds:.3g}" for seconds in speed), sep=",", flush=True)


if __name__ == "__main__":
    main()
