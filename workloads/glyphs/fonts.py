"""Which fonts have letters, which of them belong together, and which learn, choose and judge."""

import re
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont
from trial import BadInput

LETTERS = "ABCDEFGHIJ"
SIZE = 28
# Twice the final size: one bilinear sample of it is close to the average under a final pixel.
MASTER = 2 * SIZE
SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}

# Font families which give every face a family name of its own.
_ONE_DESIGN = {r"cm[a-z]+\d+$": "Computer Modern", r"STIX": "STIX"}


@dataclass(frozen=True)
class Face:
    """One font file that draws the ten letters."""

    path: Path
    name: str
    family: str


def find_faces(folder: str | None = None) -> list[Face]:
    """Every face with the letters among matplotlib's fonts and, if given, the fonts below `folder`."""
    places = [Path(matplotlib.get_data_path()) / "fonts" / "ttf"]
    if folder is not None:
        places.append(Path(folder))
        if not places[-1].is_dir():
            raise BadInput(f"--data {folder}: there is no such folder")
    faces: dict[str, Face] = {}
    for place in places:
        for path in sorted(place.rglob("*.[to]tf")):
            face = _face(path)
            if face is not None:
                faces.setdefault(face.name, face)  # the same face in both places counts once
    return list(faces.values())


def split_families(faces: list[Face]) -> dict[str, list[Face]]:
    """Deal whole families to training, validation and test, so that no design is in two of them.

    Families go in order of their number of faces, each to the split that is furthest below its share.
    """
    families: dict[str, list[Face]] = {}
    for face in faces:
        families.setdefault(face.family, []).append(face)
    if len(families) < len(SHARES):
        raise BadInput(
            f"only {len(families)} font families have the letters {LETTERS[0]} to {LETTERS[-1]} "
            f"({', '.join(sorted(families)) or 'none'}), and training, validation and test need one each: "
            "name a folder with more fonts by --data"
        )
    splits: dict[str, list[Face]] = {name: [] for name in SHARES}
    for family in sorted(families, key=lambda family: (-len(families[family]), family)):
        neediest = min(SHARES, key=lambda name: len(splits[name]) / SHARES[name])
        splits[neediest] += families[family]
    return splits


def masters(faces: list[Face]) -> np.ndarray:
    """Each face's letters, centred, 0 to 1, three quarters of the side: (faces, letters, MASTER, MASTER)."""
    return np.stack([[_draw(face, letter) for letter in LETTERS] for face in faces])


def _face(path: Path) -> Face | None:
    try:
        font = FT2Font(str(path))
    except RuntimeError as error:
        raise BadInput(f"{path}: not a font that can be read ({error}): remove it from the folder") from error
    points = font.get_charmap()
    # A symbol font may keep brackets where the letters belong, and a fallback font one box for all: the
    # glyph's own name tells.
    if any(font.get_glyph_name(points.get(ord(letter), 0)) != letter for letter in LETTERS):
        return None
    family = next(
        (design for pattern, design in _ONE_DESIGN.items() if re.match(pattern, font.family_name)),
        font.family_name.split()[0],
    )  # "DejaVu Sans" and "DejaVu Serif" are one design's variants
    return Face(path, f"{font.family_name} {font.style_name}", family)


def _draw(face: Face, letter: str) -> np.ndarray:
    font = ImageFont.truetype(str(face.path), 4 * MASTER)
    left, top, right, bottom = font.getbbox(letter)
    side = max(right - left, bottom - top) * 4 // 3
    image = Image.new("L", (side, side))
    ImageDraw.Draw(image).text(((side - left - right) / 2, (side - top - bottom) / 2), letter, font=font, fill=255)
    return np.asarray(image.resize((MASTER, MASTER), Image.Resampling.BOX), np.float32) / 255
