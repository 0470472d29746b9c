"""The picture of the idea in README.md: one task, and the ESBN at one step of it.

    python docs/idea.py docs/idea.png

Places are in inches from the lower left corner. Colours: Okabe and Ito (2008), safe for colour-blind readers.
"""

import argparse
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from analysis.figures.plotting import Axes, Figure, Rectangle, settings
from esbn_core.objects import glyphs
from esbn_core.tasks.distribution_of_three import draw

WIDTH, HEIGHT = 8.4, 4.1
SIGHT, CONTROL, INK, PALE = "#D55E00", "#0072B2", "0.15", "0.75"
STYLE = {"font.family": "DejaVu Sans", "font.size": 9, "mathtext.fontset": "dejavusans", "savefig.dpi": 200}

N_WITHHELD = 95
STEP = 4
"""The first image of the second row, which the first row has shown."""

TILE, CELL = 0.36, 0.44  # sides of an image and of its place in a problem
ROW = 0.52  # height of a row of the memory
ROW_TOPS = [3.14 - ROW * i for i in range(STEP)]
VALUES, KEYS, END = 5.0, 5.92, 6.52  # edges of the memory's columns
LEFT, RIGHT, BOTTOM, TOP = 7.42, 8.28, ROW_TOPS[3] + 0.08, ROW_TOPS[0]  # of the controller


class Problem(NamedTuple):
    """A problem of distribution of three."""

    images: np.ndarray  # [9, 32, 32] uint8: first row, second row without its last image, choices
    target: int  # place of the answer among the choices


def problems(seed: int) -> tuple[Problem, Problem]:
    """Draws a training problem of 5 objects and a test problem of the 95 withheld ones, as a trial at m = 95 does."""
    rng = np.random.default_rng(seed)
    pixels_NHW = glyphs().pixels_NHW
    order = rng.permutation(len(pixels_NHW))
    drawn = []
    for objects in (order[N_WITHHELD:], order[:N_WITHHELD]):
        (problem,) = draw(len(objects), [1], rng)
        drawn.append(Problem(pixels_NHW[objects[problem.indices_PT[0]]], int(problem.targets_P[0])))
    return drawn[0], drawn[1]


def show_image(axes: Axes, image: np.ndarray, x: float, y: float, side: float = TILE, color: str = PALE) -> None:
    """Shows an image with its lower left corner at (x, y), in inches."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, extent=(x, x + side, y, y + side), zorder=2)
    axes.add_patch(Rectangle((x, y), side, side, fill=False, edgecolor=color, linewidth=0.8, zorder=3))


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], color: str, path: str = "arc3") -> None:
    """Draws an arrow; ``path`` is one of matplotlib's connection styles."""
    style = {"arrowstyle": "-|>", "color": color, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0, "connectionstyle": path}
    axes.annotate("", end, start, arrowprops=style)


def show_problem(axes: Axes, problem: Problem, title: str, x: float, top: float) -> None:
    """Shows a problem as a matrix with a hole, and its four choices, the answer framed."""
    axes.text(x, top + 0.08, title, weight="bold", va="bottom")
    for i, image in enumerate(problem.images[:5]):
        show_image(axes, image, x + CELL * (i % 3), top - TILE - CELL * (i // 3))
    axes.text(x + 2 * CELL + TILE / 2, top - CELL - TILE / 2, "?", ha="center", va="center", size=15, color=INK)
    for i, image in enumerate(problem.images[5:]):
        place = x + 1.65 + CELL * (i % 2), top - TILE - CELL * (i // 2)
        show_image(axes, image, *place)
        if i == problem.target:
            around = place[0] - 0.03, place[1] - 0.03
            axes.add_patch(Rectangle(around, TILE + 0.06, TILE + 0.06, fill=False, edgecolor=INK, linewidth=2.2))


def show_task(axes: Axes, training: Problem, test: Problem) -> None:
    """Shows what is trained and what is tested, on the left."""
    x = 0.12
    axes.text(x, 3.85, "Task: distribution of three", size=11, weight="bold", va="center")
    axes.text(x, 3.58, "Both rows have the same three objects.\nWhich choice completes the second?", va="top")
    show_problem(axes, training, "Training: 5 objects", x, 2.78)
    show_problem(axes, test, f"Test: {N_WITHHELD} other objects", x, 1.5)
    axes.text(x, 0.5, "The nine images are shown one by one,\nrow by row, then the choices.", va="top", color="0.35")


def show_memory(axes: Axes, problem: Problem) -> None:
    """Shows embeddings beside keys, and how well each stored embedding matches the present one."""
    axes.text((VALUES + END) / 2, ROW_TOPS[0] + 0.27, "memory", ha="center", va="bottom", weight="bold")
    axes.text((VALUES + KEYS) / 2, ROW_TOPS[0] + 0.07, "embedding", ha="center", va="bottom", color=SIGHT)
    axes.text((KEYS + END) / 2, ROW_TOPS[0] + 0.07, "key", ha="center", va="bottom", color=CONTROL)
    axes.text(VALUES - 0.08, ROW_TOPS[0] + 0.07, "match", ha="right", va="bottom", color=SIGHT)
    for i, top in enumerate(ROW_TOPS):
        for x, right, color, fill in ((VALUES, KEYS, SIGHT, "#FBE9DD"), (KEYS, END, CONTROL, "#DDEBF5")):
            line = "--" if i == STEP - 1 else "-"
            cell = Rectangle((x, top - ROW), right - x, ROW, edgecolor=color, facecolor=fill, linestyle=line)
            axes.add_patch(cell)
        middle = top - ROW / 2
        show_image(axes, problem.images[i], VALUES + 0.09, middle - 0.19, side=0.38)
        axes.text(VALUES + 0.7, middle, f"$z_{i + 1}$", ha="center", va="center", size=11)
        axes.text((KEYS + END) / 2, middle, f"$k_{i + 1}$", ha="center", va="center", size=11)
        if i < STEP - 1:
            length = 0.4 if i == matched(problem) else 0.02
            axes.add_patch(Rectangle((VALUES - 0.08 - length, middle - 0.1), length, 0.2, color=SIGHT, linewidth=0))


def matched(problem: Problem) -> int:
    """Returns the place of the earlier image that the image of this step repeats."""
    same = [(image == problem.images[STEP - 1]).all() for image in problem.images[: STEP - 1]]
    return same.index(True)


def show_sight(axes: Axes, image: np.ndarray, middle: float) -> None:
    """Shows the way from the image of a step to the memory, at this height."""
    x = 3.12
    show_image(axes, image, x, middle - TILE / 2, color=SIGHT)
    axes.text(x + TILE / 2, middle + TILE / 2 + 0.05, f"$x_{STEP}$", ha="center", va="bottom", size=11)
    arrow(axes, (x + TILE + 0.04, middle), (3.7, middle), SIGHT)
    axes.add_patch(Rectangle((3.72, middle - 0.2), 0.72, 0.4, edgecolor=SIGHT, facecolor="white", linewidth=1.4))
    axes.text(4.08, middle, "encoder", ha="center", va="center")
    arrow(axes, (4.44, middle), (VALUES - 0.02, middle), SIGHT)
    arrow(axes, (4.72, middle), (4.72, ROW_TOPS[2] - ROW / 2), SIGHT)
    compared = f"compare $z_{STEP}$\nwith $z_1, z_2, z_3$"
    axes.text(4.64, ROW_TOPS[2] - ROW / 2 + 0.02, compared, ha="right", va="center", color=SIGHT)
    axes.text(KEYS - 0.1, 0.72, "sees images", ha="right", va="top", color=SIGHT, weight="bold")


def show_control(axes: Axes, read: int, middle: float) -> None:
    """Shows what the controller reads and writes; the key of a step is written at this height."""
    centre = (LEFT + RIGHT) / 2
    box = Rectangle((LEFT, BOTTOM), RIGHT - LEFT, TOP - BOTTOM, edgecolor=CONTROL, facecolor="white", linewidth=1.4)
    axes.add_patch(box)
    axes.text(centre, (TOP + BOTTOM) / 2, "controller\n(LSTM)", ha="center", va="center")
    arrow(axes, (centre, TOP), (centre, TOP + 0.2), CONTROL)
    axes.text(RIGHT, TOP + 0.24, "answer, after step 9", ha="right", va="bottom", color=CONTROL)
    height = ROW_TOPS[read] - ROW / 2
    arrow(axes, (END + 0.03, height), (LEFT - 0.02, height), CONTROL)
    between = (END + LEFT) / 2
    axes.text(between, height - 0.05, f"reads $k_{read + 1}$ and\nconfidence", ha="center", va="top", color=CONTROL)
    arrow(axes, (centre, BOTTOM), (END + 0.03, middle), CONTROL, "angle,angleA=-90,angleB=0,rad=0")
    axes.text(between + 0.1, middle - 0.06, f"writes $k_{STEP}$", ha="center", va="top", color=CONTROL)
    axes.text(KEYS + 0.1, 0.72, "sees keys, never an image", ha="left", va="top", color=CONTROL, weight="bold")


def show_network(axes: Axes, problem: Problem) -> None:
    """Shows the ESBN at one step, on the right: memory alone connects what it sees and the controller."""
    axes.text(3.12, 3.85, f"ESBN at step {STEP} of the test problem", size=11, weight="bold", va="center")
    middle = ROW_TOPS[-1] - ROW / 2
    show_memory(axes, problem)
    show_sight(axes, problem.images[STEP - 1], middle)
    show_control(axes, matched(problem), middle)
    axes.plot([KEYS, KEYS], [0.6, ROW_TOPS[-1] - ROW], color="0.35", linestyle=":", linewidth=1.4)
    note = f"At step {STEP + 1} the controller gets what it reads here.\nNo arrow leads to it from an embedding."
    axes.text(3.12, 0.42, note, va="top", color="0.35")


def draw_idea(seed: int = 0) -> Figure:
    """Draws the task on the left and the ESBN on the right."""
    figure = Figure(figsize=(WIDTH, HEIGHT), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    training, test = problems(seed)
    show_task(axes, training, test)
    show_network(axes, test)
    axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    axes.set_axis_off()
    return figure


def write(file: Path | IO[bytes]) -> None:
    """Writes the picture as PNG."""
    with settings(STYLE):
        draw_idea().savefig(file, format="png")


def main() -> None:
    """Writes the picture to the file named on the command line."""
    parser = argparse.ArgumentParser(description="Draw the picture of the idea.")
    parser.add_argument("path", type=Path)
    write(parser.parse_args().path)


if __name__ == "__main__":
    main()
