"""Handwritten digits: MNIST where it can be had, or the 1,797 small ones that scikit-learn brings."""

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from trial import BadInput, hash_arrays
from trial.arrays import read_npz
from trial.download import fetch

CLASSES = 10

# As published with the data: by their makers for the four files, by Keras for the one.
MNIST_FILES = {
    "train-images-idx3-ubyte": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte": "md5:d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte": "md5:9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte": "md5:ec29112dd5afa0611ce80d1b7f02629c",
}
MNIST_NPZ = "sha256:731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


@dataclass(frozen=True)
class Part:
    """Pictures (count, side, side), float32 from 0 to 1, and which digit each is."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray | slice) -> "Part":
        return Part(self.images[rows], self.labels[rows])


@dataclass(frozen=True)
class Digits:
    """Three parts without a picture in common: to learn from, to choose by, and to judge once."""

    train: Part
    validation: Part
    test: Part

    @property
    def side(self) -> int:
        return self.train.images.shape[1]

    @property
    def sha256(self) -> str:
        parts = (self.train, self.validation, self.test)
        return hash_arrays(*(array for part in parts for array in (part.images, part.labels)))


def load(data: str | None, cache: str = "data") -> Digits:
    """The digits at `data`; None is scikit-learn's own set.

    `data` is a folder with MNIST's four IDX files (plain or .gz), Keras' `mnist.npz`, or a URL of either, which is
    downloaded into the folder `cache`. MNIST's last 10,000 training pictures become the validation part.
    """
    if data is None:
        return _bundled()
    if "://" in data:
        data = _download(data, Path(cache))
    path = Path(data)
    if not path.exists():
        raise BadInput(f"{data}: there is no such file or folder")
    learn, test = _read_idx_folder(path) if path.is_dir() else _read_npz(path)
    if learn.images.shape[1:] != test.images.shape[1:]:
        raise BadInput(f"{data}: pictures to learn from and to judge by differ in size")
    held_out = len(learn) // 6
    return Digits(learn.take(slice(None, -held_out)), learn.take(slice(-held_out, None)), test)


def read_idx(path: Path) -> np.ndarray:
    """The array of unsigned bytes in an IDX file, plain or compressed."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{path}: cannot be decompressed ({error})") from error
    if len(content) < 4 or content[:3] != b"\0\0\x08" or len(content) < 4 + 4 * content[3]:
        raise BadInput(f"{path}: no IDX file of unsigned bytes (it begins with {content[:4].hex() or 'nothing'})")
    shape = struct.unpack(f">{content[3]}I", content[4 : 4 + 4 * content[3]])
    body = len(content) - 4 - 4 * content[3]
    if body != int(np.prod(shape, dtype=np.int64)):
        raise BadInput(f"{path}: {body} bytes of data, but its header says {' x '.join(map(str, shape))}")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape)


def _bundled() -> Digits:
    from sklearn.datasets import load_digits

    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    everything = _part(found.images[order] / 16, found.target[order], "scikit-learn's digits")
    sixth = len(order) // 6
    return Digits(
        everything.take(slice(2 * sixth, None)), everything.take(slice(sixth)), everything.take(slice(sixth, 2 * sixth))
    )


def _download(url: str, cache: Path) -> str:
    if url.endswith(".npz"):
        return str(fetch(url, cache, MNIST_NPZ))
    for name, digest in MNIST_FILES.items():
        fetch(f"{url.rstrip('/')}/{name}.gz", cache, digest)
    return str(cache)


def _read_idx_folder(folder: Path) -> tuple[Part, Part]:
    arrays = []
    for name in MNIST_FILES:
        candidates = [folder / name, folder / f"{name}.gz"]
        path = next((path for path in candidates if path.is_file()), None)
        if path is None:
            raise BadInput(f"{folder}: neither {name} nor {name}.gz is there")
        arrays.append(read_idx(path))
    train, train_labels, test, test_labels = arrays
    return _part(train / 255, train_labels, f"{folder} (train)"), _part(test / 255, test_labels, f"{folder} (t10k)")


def _read_npz(path: Path) -> tuple[Part, Part]:
    found = read_npz(path, ("x_train", "y_train", "x_test", "y_test"))
    for name, array in found.items():
        if array.dtype != np.uint8 and (name.startswith("x") or array.dtype.kind not in "iu"):
            raise BadInput(f"{path}: {name} is {array.dtype}; pictures must be unsigned bytes and labels whole numbers")
    return (
        _part(found["x_train"] / 255, found["y_train"], f"{path} (train)"),
        _part(found["x_test"] / 255, found["y_test"], f"{path} (test)"),
    )


def _part(images: np.ndarray, labels: np.ndarray, where: str) -> Part:
    if images.ndim != 3 or images.shape[1] != images.shape[2] or labels.shape != images.shape[:1] or len(labels) < 12:
        raise BadInput(f"{where}: pictures {images.shape} and labels {labels.shape} do not belong together")
    if labels.min() < 0 or labels.max() >= CLASSES:
        raise BadInput(f"{where}: a label is {labels.max()}, and digits are 0 to 9")
    return Part(images.astype(np.float32), labels.astype(np.int64))
