"""Endless pictures: a face's letter, moved, turned, slanted, scaled, made bolder or lighter."""

import numpy as np
from PIL import Image, ImageDraw

from .fonts import LETTERS, MASTER, SIZE

# How far a letter may turn (radians), slant, stretch and grow (both as logarithms), and move (pixels).
_REACH = np.array([0.2, 0.25, 0.15, 0.15])
_MOVE = 2.5


def draw(
    masters: np.ndarray, count: int, seed: tuple[int, ...], strength: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """`count` pictures (count, SIZE, SIZE) from 0 to 1 and their labels, the letters equally often.

    The same `seed` gives the same pictures on every machine. `strength` scales how far a letter is bent;
    0 leaves it as its designer drew it.
    """
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % len(LETTERS))
    faces = random.integers(len(masters), size=count)
    turn, slant, stretch, size = random.uniform(-strength, strength, (4, count)) * _REACH[:, None]
    shift = random.uniform(-strength, strength, (count, 2)) * _MOVE
    weight = 2 ** random.uniform(-strength, strength, count)

    cos, sin = np.cos(turn), np.sin(turn)
    # Takes a final pixel's place, seen from the centre, to the master's.
    matrix = np.array([[cos, -sin], [sin + slant * cos, cos - slant * sin]])
    matrix *= np.exp([size + stretch, size - stretch])[:, None] * (MASTER / SIZE)
    centre = -np.einsum("abn,nb->an", matrix, shift) + (MASTER - 1) / 2
    axis = np.arange(SIZE, dtype=np.float32) - (SIZE - 1) / 2

    flat = masters.reshape(-1)
    images = np.empty((count, SIZE, SIZE), np.float32)
    for start in range(0, count, 500):  # pieces that stay in the processor's cache
        part = slice(start, start + 500)
        down, right = (
            (a[part, None] * axis)[:, :, None] + (b[part, None] * axis + c[part, None])[:, None, :]
            for a, b, c in zip(*matrix.astype(np.float32).transpose(1, 0, 2), centre.astype(np.float32), strict=True)
        )
        first = (faces[part] * len(LETTERS) + labels[part]) * MASTER**2
        images[part] = _sample(flat, first.astype(np.int32)[:, None, None], down, right)
    # A power of the grey makes strokes lighter (above 1) or heavier.
    return images ** weight[:, None, None].astype(np.float32), labels


def _sample(flat: np.ndarray, first: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Bilinear interpolation of the master that begins at `first`; its border, and all beyond, is empty."""
    down, right = np.clip(down, 0, MASTER - 1.001), np.clip(right, 0, MASTER - 1.001)
    row, column = down.astype(np.int32), right.astype(np.int32)
    down -= row
    right -= column
    first = first + row * MASTER + column
    above, below = flat[first], flat[first + MASTER]
    above += (flat[first + 1] - above) * right
    below += (flat[first + MASTER + 1] - below) * right
    return above + (below - above) * down


def save_misread(path: str, images: np.ndarray, labels: np.ndarray, read: np.ndarray, most: int = 64) -> None:
    """Draw up to `most` misread letters, eight a row, over what each is and was taken for ("E>F")."""
    wrong = np.flatnonzero(labels != read)[:most]
    cell = 2 * SIZE
    sheet = Image.new("L", (8 * cell, max(1, -(-len(wrong) // 8)) * (cell + 14)), 40)
    for place, index in enumerate(wrong):
        x, y = place % 8 * cell, place // 8 * (cell + 14)
        sheet.paste(Image.fromarray((images[index] * 255).astype(np.uint8)).resize((cell, cell)), (x, y))
        ImageDraw.Draw(sheet).text((x + 18, y + cell), f"{LETTERS[labels[index]]}>{LETTERS[read[index]]}", fill=255)
    sheet.save(path)
