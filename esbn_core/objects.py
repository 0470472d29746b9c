"""The object images: 100 rendered characters, or a folder of the user's images.

Images are uint8 [N, 32, 32], 0 black to 255 white; `scale` turns them into network inputs.
"""

import csv
import hashlib
import importlib.util
import io
import os
import warnings
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from esbn_core.errors import ConfigError
from esbn_core.files import read_file
from esbn_core.printable import printable

SIZE = 32  # pixels a side
_FONT_SIZE = 34  # gives about the ink of the paper's images


@dataclass(frozen=True)
class Objects:
    """N named images, uint8 [N, 32, 32], and the name of the user's folder that they are from."""

    pixels_NHW: np.ndarray
    names: tuple[str, ...]
    folder: str | None = None

    def digest(self) -> str:
        """Returns the SHA-256 of the pixels, which identifies the images a trial used."""
        return hashlib.sha256(self.pixels_NHW.tobytes()).hexdigest()

    def scale(self) -> np.ndarray:
        """Returns float32 [N, 1, 32, 32] in [0, 1], black on white (paper section 3.1)."""
        return (self.pixels_NHW[:, None] / 255).astype(np.float32)


def glyphs() -> Objects:
    """Draws the paper's 100 characters (Figure 10) in matplotlib's DejaVu Sans; the images are always the same."""
    spec = importlib.util.find_spec("matplotlib")
    assert spec is not None and spec.origin is not None
    font_file = Path(spec.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf"
    with files("esbn_core").joinpath("glyphs.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    characters = [chr(int(row["codepoint"].removeprefix("U+"), 16)) for row in rows]
    font = ImageFont.truetype(str(font_file), _FONT_SIZE, layout_engine=ImageFont.Layout.BASIC)
    pixels = np.stack([_render(character, font) for character in characters])
    return Objects(pixels, tuple(f"{c} {row['name']}" for c, row in zip(characters, rows, strict=True)))


def _render(character: str, font: ImageFont.FreeTypeFont) -> np.ndarray:
    """Draws one character, centred by its ink and shrunk if its ink would not fit."""
    canvas = Image.new("L", (4 * SIZE, 4 * SIZE), 0)
    ImageDraw.Draw(canvas).text((SIZE, SIZE), character, font=font, fill=255)
    ink = canvas.crop(canvas.getbbox())
    room = SIZE - 2
    if max(ink.size) > room:
        return _render(character, font.font_variant(size=font.size - 1))
    image = Image.new("L", (SIZE, SIZE), 0)
    image.paste(ink, ((SIZE - ink.width) // 2, (SIZE - ink.height) // 2))
    return 255 - np.asarray(image)


def from_folder(folder: str | os.PathLike[str]) -> Objects:
    """Reads all PNG files of a folder, in the order of their names.

    Raises:
        ConfigError: there is no such folder or no PNG in it, or an image is unreadable, not 32 x 32, not 8-bit grey or
            RGB, or a duplicate. Colour is converted to grey; images are never resized.
    """
    try:
        paths = sorted(Path(folder, name) for name in os.listdir(folder) if name.lower().endswith(".png"))
    except OSError as error:
        raise ConfigError(f"images={str(folder)!r} cannot be read: {error.strerror}; name a folder") from None
    if not paths:
        raise ConfigError(f"images={str(folder)!r} is not a folder with PNG files of {SIZE} x {SIZE} pixels")
    pixels_NHW = np.stack([_grey(path) for path in paths])
    repeated = len(paths) - len(np.unique(pixels_NHW, axis=0))
    if repeated:
        raise ConfigError(f"images={str(folder)!r} holds {repeated} images that repeat another; objects must differ")
    name = os.path.basename(os.path.abspath(folder))
    return Objects(pixels_NHW, tuple(printable(path.name) for path in paths), printable(name))


def _grey(path: Path) -> np.ndarray:
    """Reads one image, uint8 [32, 32]; checks its size before reading its pixels."""
    data = read_file(path, "images")
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            mode, size, info, stored = image.mode, image.size, image.info, str(image.tile[0].args)
            grey = np.asarray(image.convert("L")) if size == (SIZE, SIZE) else None
    except Exception as error:  # a broken file can raise any exception
        why = str(error).partition(" <")[0] or type(error).__name__  # the rest is an address in memory
        raise ConfigError(f"images: {path} cannot be read as PNG ({why})") from None
    if stored == "RGB;16B":  # Pillow drops the lower byte silently
        mode += " of 16 bits"
    if "transparency" in info:
        mode += " with transparency"
    if mode not in ("1", "L", "RGB"):
        raise ConfigError(f"images: {path} has mode {mode}; 8-bit grey or RGB without transparency is needed")
    if grey is None:
        raise ConfigError(f"images: {path} has {size[0]} x {size[1]} pixels; {SIZE} x {SIZE} are needed")
    return grey
