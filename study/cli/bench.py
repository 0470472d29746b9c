"""The command that measures how fast this machine trains."""

import itertools

import click

from study.cli.console import console
from study.cli.output import answer
from study.cli.working import working


@click.command()
@click.option(
    "--model",
    "models",
    multiple=True,
    default=["esbn"],
    show_default=True,
    help="Model to measure. Can be repeated, like --task, --withheld, --pack and --precision.",
)
@click.option("--task", "tasks", multiple=True, default=["distribution_of_three"], show_default=True, help="Task.")
@click.option("--withheld", type=int, multiple=True, default=[95, 0], show_default=True, help="Withheld objects, m.")
@click.option(
    "--pack",
    "packs",
    type=click.IntRange(1),
    multiple=True,
    default=[1],
    show_default=True,
    help="Networks trained together.",
)
@click.option(
    "--precision", "precisions", multiple=True, default=["float32"], show_default=True, help="float32 or bf16."
)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads.")
@click.option(
    "--jobs",
    type=click.IntRange(0),
    default=0,
    help="Also run this many packs of one network for one update, to measure the overhead of a pack.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, e.g. to append to a history.")
def bench(
    models: tuple[str, ...],
    tasks: tuple[str, ...],
    withheld: tuple[int, ...],
    packs: tuple[int, ...],
    precisions: tuple[str, ...],
    threads: int,
    jobs: int,
    as_json: bool,
) -> None:
    """Measure training speed on this machine, against the hardware limit and a slow reference implementation.

    \b
    esbn bench
    esbn bench --model esbn --model lstm --precision float32 --precision bf16 --threads 2
    esbn bench --pack 1 --pack 10 --pack 50          the best pack size on a GPU
    esbn bench --jobs 60 --json >> bench.jsonl
    """
    from study.monitoring.bench import measure, to_json, to_text

    arms = [{"model": x, "task": t, "withheld": m} for x, t, m in itertools.product(models, tasks, withheld)]
    benchmark = measure(arms, packs=packs, precisions=precisions, threads=threads, jobs=jobs, tell=working.tell)
    if as_json:
        answer(f"{to_json(benchmark)}\n")
    else:
        console.print(to_text(benchmark))
