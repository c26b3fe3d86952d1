"""CIFAR-10 in its binary version, checked and never unpickled; or coloured shapes where it cannot be had."""

import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from trial import BadInput, hash_arrays
from trial.download import checked, fetch

SIDE, CLASSES = 32, 10
RECORD = 1 + 3 * SIDE * SIDE
ARCHIVE = "cifar-10-binary.tar.gz"
ARCHIVE_MD5 = "md5:c32a1d4ab5d03f1284b67883e8d87530"  # as its makers publish it
BATCHES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = "test_batch.bin"


@dataclass(frozen=True)
class Part:
    """Pictures (count, 32, 32, 3) of unsigned bytes, and their classes."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Pictures:
    train: Part
    validation: Part
    test: Part
    name: str

    @property
    def sha256(self) -> str:
        parts = (self.train, self.validation, self.test)
        return hash_arrays(*(array for part in parts for array in (part.images, part.labels)))


def downloaded(data: str | None, cache: str = "data") -> str | None:
    """`data`, or where it is now if it was a URL of the archive."""
    return str(fetch(data, Path(cache), ARCHIVE_MD5)) if data and "://" in data else data


def load(data: str | None, shapes: int = 6_000) -> Pictures:
    """CIFAR-10 from its archive or its unpacked folder; None: `shapes` drawn pictures.

    The last of the five training batches validates.
    """
    if data is None:
        return draw_shapes(shapes, seed=0)
    path = Path(data)
    if not path.exists():
        raise BadInput(f"{data}: there is no such file or folder")
    content = _unpacked(path) if path.is_dir() else _archive(checked(path, ARCHIVE_MD5))
    parts = [read_batch(content[name], f"{data}: {name}") for name in (*BATCHES, TEST)]
    learnt = Part(
        np.concatenate([part.images for part in parts[:4]]), np.concatenate([part.labels for part in parts[:4]])
    )
    return Pictures(learnt, parts[4], parts[5], "CIFAR-10")


def read_batch(content: bytes, where: str) -> Part:
    """A file of records: one byte of class, then 1,024 bytes each of red, green and blue."""
    if not content or len(content) % RECORD:
        raise BadInput(f"{where}: {len(content)} bytes are no whole number of records of {RECORD}")
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    if records[:, 0].max() >= CLASSES:
        raise BadInput(f"{where}: a class is {records[:, 0].max()}, and there are 0 to 9")
    images = records[:, 1:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return Part(np.ascontiguousarray(images), records[:, 0].astype(np.int64))


def draw_shapes(count: int, seed: int) -> Pictures:
    """Ten kinds of shapes in any colour, size and place on a noisy ground: as large as CIFAR-10's, and easier."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % CLASSES)
    down, right = np.meshgrid(np.linspace(-1, 1, SIDE), np.linspace(-1, 1, SIDE), indexing="ij")
    images = np.empty((count, SIDE, SIDE, 3), np.uint8)
    for number, label in enumerate(labels):
        turn, size = random.uniform(-0.5, 0.5), random.uniform(0.35, 0.75)
        y, x = (axis - random.uniform(-0.25, 0.25) for axis in (down, right))
        u, v = (np.cos(turn) * x + np.sin(turn) * y) / size, (np.cos(turn) * y - np.sin(turn) * x) / size
        inside = _SHAPES[label](u, v)[..., None]
        ground, ink = random.uniform(0, 255, (2, 3))
        if np.abs(ground - ink).max() < 90:
            ink = 255 - ground
        picture = np.where(inside, ink, ground) + random.normal(0, 25, (SIDE, SIDE, 3))
        images[number] = np.clip(picture, 0, 255)
    first, second = count * 4 // 6, count * 5 // 6
    pieces = [slice(None, first), slice(first, second), slice(second, None)]
    return Pictures(*(Part(images[piece], labels[piece]) for piece in pieces), "drawn shapes")


_SHAPES = (
    lambda u, v: u**2 + v**2 < 1,  # disc
    lambda u, v: np.maximum(abs(u), abs(v)) < 0.85,  # square
    lambda u, v: (v < 0.8) & (v > 2.2 * abs(u) - 1),  # triangle
    lambda u, v: (u**2 + v**2 < 1) & (u**2 + v**2 > 0.4),  # ring
    lambda u, v: (np.minimum(abs(u), abs(v)) < 0.25) & (np.maximum(abs(u), abs(v)) < 1),  # plus
    lambda u, v: (np.minimum(abs(u - v), abs(u + v)) < 0.3) & (np.maximum(abs(u), abs(v)) < 0.85),  # cross
    lambda u, v: (abs(v) < 0.3) & (abs(u) < 1),  # bar
    lambda u, v: (np.sin(9 * v) > 0) & (np.maximum(abs(u), abs(v)) < 1),  # stripes
    lambda u, v: (u**2 + v**2 < 1) & ((u - 0.5) ** 2 + v**2 > 0.6),  # crescent
    lambda u, v: (np.sin(7 * u) * np.sin(7 * v) > 0) & (np.maximum(abs(u), abs(v)) < 1),  # chessboard
)


def augment(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Each picture mirrored or not, and moved by up to four pixels (He et al. 2015)."""
    count = len(images)
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (SIDE, SIDE), axis=(1, 2))
    moved = windows[np.arange(count), random.integers(9, size=count), random.integers(9, size=count)]
    moved = moved.transpose(0, 2, 3, 1)
    mirrored = random.random(count) < 0.5
    return np.where(mirrored[:, None, None, None], moved[:, :, ::-1], moved)


def scaled(images: np.ndarray) -> np.ndarray:
    """Bytes as numbers of about -2 to 2."""
    return ((images.astype(np.float32) - 120) / 64).astype(np.float32)


def _unpacked(folder: Path) -> dict[str, bytes]:
    content = {}
    for name in (*BATCHES, TEST):
        if not (folder / name).is_file():
            raise BadInput(f"{folder}: {name} is not there")
        content[name] = (folder / name).read_bytes()
    return content


def _archive(path: Path) -> dict[str, bytes]:
    """The batches in the archive, which is read and never unpacked."""
    content = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                file = archive.extractfile(member) if name in (*BATCHES, TEST) else None
                if file is not None:
                    content[name] = file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BadInput(f"{path}: cannot be read as an archive ({error})") from error
    missing = [name for name in (*BATCHES, TEST) if name not in content]
    if missing:
        raise BadInput(f"{path}: {', '.join(missing)} is not in it")
    return content
