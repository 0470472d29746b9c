"""Figure 10: the images of the trials."""

import math

import numpy as np
import pandas as pd

from analysis.figures.plotting import Figure
from analysis.figures.sheet import with_settings


@with_settings
def draw_objects(objects: pd.DataFrame) -> Figure:
    """Draws the images of the trials on a grid, in the order of their numbers.

    Args:
        objects: rows of the objects table with one ``images_hash``; pixels are [32 * 32] 0 (black) to 255.
    Source: paper Figure 10.
    """
    ordered = objects.sort_values("object")
    images_N = [np.asarray(pixels, np.uint8).reshape(32, 32) for pixels in ordered["pixels"]]
    columns = math.ceil(math.sqrt(len(images_N)))
    rows = math.ceil(len(images_N) / columns)
    picture = np.full((36 * rows + 4, 36 * columns + 4), 255, np.uint8)  # 4 white pixels between images
    for i, image in enumerate(images_N):
        y, x = 36 * (i // columns) + 4, 36 * (i % columns) + 4
        picture[y : y + 32, x : x + 32] = image
    figure = Figure(figsize=(picture.shape[1] / 100, picture.shape[0] / 100))  # a pixel is 3 x 3 at 300 dpi
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_axis_off()
    return figure
