"""Options that several commands share, and the values that are made of them."""

import functools
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from esbn_core.vocabulary import MOST_SEEDS
from study.running.resources import Resources

if TYPE_CHECKING:
    from study.planning.plan import Selection

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class _Text(click.ParamType):
    """A path, URI or name, in which ~ is the user's home also where the shell leaves it, as in --results=~/x."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return os.path.expanduser(value)


class UserPath(click.Path):
    """A path of the same kind, which commands get as a `Path`."""

    def __init__(self, **conditions: bool):
        super().__init__(**conditions, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(os.path.expanduser(value), param, ctx)


PLACE = _Text()
RESULTS = click.option(
    "--results",
    type=PLACE,
    default="results",
    show_default=True,
    help="Folder or URI of the result store: s3://bucket/folder?region=...&endpoint_override=host:port&scheme=http, "
    "the last two for S3 that is not of AWS; credentials come from AWS_ACCESS_KEY_ID, ~/.aws or the machine's role.",
)
STUDY = click.argument("study", metavar="STUDY", type=PLACE)
REPORT_FORMAT = click.option(
    "--format",
    "kind",
    type=click.Choice(["text", "markdown", "latex", "html", "csv"]),
    default="text",
    show_default=True,
    help="How to print it; latex is for the package booktabs, html is a part of a page, csv has every digit.",
)


def path_option(*names: str, default: str, help: str, folder: bool = False) -> Decorator:
    """Makes an option that takes the path of a file, or of a folder, which need not be there."""
    kind = UserPath(file_okay=not folder, dir_okay=folder)
    return click.option(*names, type=kind, default=Path(default), show_default=True, help=help)


FIGURES = path_option("-o", "--output", default="figures", folder=True, help="Folder for the figures.")
ARM_COMPARED_WITH = click.option(
    "--baseline",
    help="The arm to compare the others with. Default: baseline, or else the arm whose settings all others share.",
)
MARGIN = click.option(
    "--margin",
    type=float,
    default=3.0,
    show_default=True,
    help="Points from the published mean that count as none.",
)
ALPHA = click.option(
    "--alpha", type=float, default=0.05, show_default=True, help="Probability of any wrong verdict of a kind, at most."
)


def gathered(argument: str, make: Callable[..., Any], names: Collection[str], *options: Decorator) -> Decorator:
    """Adds options to a command, which gets one value that is made of them.

    Args:
        argument: the command's name for that value.
        make: takes the options as keywords.
        names: keywords of the options.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_value(**values: Any) -> Any:
            own = {name: values.pop(name) for name in names}
            return command(**values, **{argument: make(**own)})

        return functools.reduce(lambda command, option: option(command), reversed(options), with_value)

    return decorate


class _PackSize(click.ParamType):
    """A whole number of at least 1, or the word auto."""

    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "auto" or (str(value).isdecimal() and int(value) > 0):
            return value if value == "auto" else int(value)
        self.fail(f"{value!r} must be a whole number of at least 1, or auto", param, ctx)


def _selection(**options: Any) -> "Selection":
    from study.planning.plan import Selection  # with all declared studies

    return Selection(**options)


SELECTION = gathered(
    "selection",
    _selection,
    ("tasks", "withheld", "arms", "seeds", "images", "limit_updates"),
    click.option("--task", "tasks", multiple=True, help="Only this task. Can be repeated, as can the next two."),
    click.option("--withheld", type=int, multiple=True, help="Only this number of withheld objects m."),
    click.option("--arm", "arms", multiple=True, help="Only this arm, e.g. baseline or encoder=mlp."),
    click.option(
        "--seeds", type=click.IntRange(1, MOST_SEEDS), help="Networks per variant, in place of the study's number."
    ),
    click.option(
        "--images", type=PLACE, help="Folder of your own 32 x 32 PNG files, in place of the paper's 100 characters."
    ),
    click.option(
        "--limit-updates",
        type=click.IntRange(1),
        help="Rehearse: at most so many updates a trial. Rehearsals are marked and never enter a table.",
    ),
)
_RESOURCES = (
    click.option("--address", help="Ray cluster to run on (auto: the one this machine is in); default: this machine."),
    click.option(
        "--gpus-per-pack",
        "--gpus-per-trial",
        type=click.FloatRange(0),
        help="GPUs per pack, e.g. 0.5; default: 1 if there are. The second name is the old one.",
    ),
    click.option(
        "--threads", type=click.IntRange(1), help="CPU threads per pack; default: 1, more if cores would be idle."
    ),
    click.option(
        "--checkpoint-seconds",
        type=click.FloatRange(0),
        default=60.0,
        show_default=True,
        help="Time between checkpoints of a pack, which is what a killed worker can lose.",
    ),
)
_NAMES = ("address", "gpus_per_pack", "threads", "checkpoint_seconds")
RESOURCES = gathered("resources", Resources, _NAMES, *_RESOURCES)
RESOURCES_AND_PACK = gathered(
    "resources",
    Resources,
    (*_NAMES, "largest_pack"),
    *_RESOURCES,
    click.option(
        "--pack",
        "largest_pack",
        metavar="N|auto",
        type=_PackSize(),
        help="Most networks trained together, or auto: measured first. Default: 4, on a GPU 10.",
    ),
)
RETRY_FAILED = click.option("--retry-failed", is_flag=True, help="Train failed trials again.")


def study_name(study: str) -> str:
    """Returns the name that results carry: that of a declared study, or of the one in a file."""
    from study.planning.declarations import find_study, is_file

    return find_study(study).name if is_file(study) else study


def search_name(space: str) -> str:
    """Returns the name that the rows of a search carry."""
    from study.planning.declarations import find_space, is_file

    return find_space(space).name if is_file(space) else space
