"""The digits' loader: what it accepts, what it refuses, and that no picture is in two parts."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from digits import data
from trial import BadInput
from trial.download import checked, fetch

RANDOM = np.random.default_rng(0)


def idx(array: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """A small set in MNIST's four files, two of them compressed."""
    for name, count in (("train", 60), ("t10k", 20)):
        images = RANDOM.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        (tmp_path / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (tmp_path / f"{name}-labels-idx1-ubyte").write_bytes(idx(np.arange(count).astype(np.uint8) % 10))
    return tmp_path


def test_idx_files_are_read_and_the_last_sixth_of_training_validates(mnist: Path) -> None:
    digits = data.load(str(mnist))
    assert (len(digits.train), len(digits.validation), len(digits.test)) == (50, 10, 20)
    assert digits.side == 28
    assert digits.validation.labels.tolist() == list(range(10))
    raw = data.read_idx(mnist / "t10k-images-idx3-ubyte.gz")
    np.testing.assert_array_equal(np.round(digits.test.images * 255), raw)


def test_keras_npz_gives_the_same_parts(mnist: Path, tmp_path: Path) -> None:
    arrays = {
        f"{axis}_{part}": data.read_idx(next(mnist.glob(f"{name}-{kind}*")))
        for part, name in (("train", "train"), ("test", "t10k"))
        for axis, kind in (("x", "images"), ("y", "labels"))
    }
    np.savez(tmp_path / "mnist.npz", **arrays)
    assert data.load(str(tmp_path / "mnist.npz")).sha256 == data.load(str(mnist)).sha256


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-5], "bytes of data, but its header says 60 x 28 x 28"),
        (lambda content: b"\0\0\x0d" + content[3:], "no IDX file of unsigned bytes"),
        (lambda content: b"", "no IDX file"),
        (lambda content: content[:6], "no IDX file"),
    ],
)
def test_a_damaged_idx_file_is_refused_by_name(mnist: Path, damage, message: str) -> None:
    path = mnist / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(damage(gzip.decompress(path.read_bytes()))))
    with pytest.raises(BadInput, match=message) as refused:
        data.load(str(mnist))
    assert path.name in str(refused.value)


def test_a_truncated_archive_a_missing_file_and_foreign_labels_are_refused(mnist: Path) -> None:
    images = mnist / "train-images-idx3-ubyte.gz"
    kept = images.read_bytes()
    images.write_bytes(kept[:200])
    with pytest.raises(BadInput, match="cannot be decompressed"):
        data.load(str(mnist))
    images.write_bytes(kept)
    (mnist / "t10k-labels-idx1-ubyte").write_bytes(idx(np.full(20, 11, np.uint8)))
    with pytest.raises(BadInput, match="a label is 11"):
        data.load(str(mnist))
    images.unlink()
    with pytest.raises(BadInput, match="neither train-images"):
        data.load(str(mnist))


def test_an_npz_that_would_unpickle_or_lacks_an_array_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", x_train=np.array([{"a": 1}], dtype=object))
    with pytest.raises(BadInput, match=r"evil\.npz"):
        data.load(str(tmp_path / "evil.npz"))
    np.savez(tmp_path / "poor.npz", x_train=np.zeros((20, 8, 8)))
    with pytest.raises(BadInput, match="y_train"):
        data.load(str(tmp_path / "poor.npz"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x_train": np.zeros((20, 8, 8))}, "x_train is float64"),
        ({"y_test": np.full(20, 0.5)}, "y_test is float64"),
        ({"y_test": np.full(20, "7")}, "y_test is <U1"),
        ({"y_train": np.zeros(19, np.uint8)}, "do not belong together"),
        ({"x_test": np.zeros((20, 9, 9), np.uint8)}, "differ in size"),
    ],
)
def test_an_npz_of_something_else_is_refused(tmp_path: Path, changed: dict[str, np.ndarray], message: str) -> None:
    pictures, labels = np.zeros((20, 8, 8), np.uint8), np.zeros(20, np.int64)
    arrays = {"x_train": pictures, "y_train": labels, "x_test": pictures, "y_test": labels}
    np.savez(tmp_path / "odd.npz", **arrays)
    assert len(data.load(str(tmp_path / "odd.npz")).test) == 20
    np.savez(tmp_path / "odd.npz", **(arrays | changed))
    with pytest.raises(BadInput, match=message):
        data.load(str(tmp_path / "odd.npz"))


def test_a_download_with_another_checksum_is_never_used(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    source = tmp_path / "there" / "mnist.npz"
    source.write_bytes(b"something else")
    with pytest.raises(BadInput, match="checksum"):
        data.load(source.as_uri(), cache=str(tmp_path / "cache"))
    assert not (tmp_path / "cache" / "mnist.npz").exists()


def test_a_download_is_made_once_and_checked_each_time(tmp_path: Path) -> None:
    source = tmp_path / "file.bin"
    source.write_bytes(b"content")
    digest = "sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
    kept = fetch(source.as_uri(), tmp_path / "cache", digest)
    source.unlink()
    assert fetch(source.as_uri(), tmp_path / "cache", digest) == kept
    kept.write_bytes(b"damaged")
    with pytest.raises(BadInput, match="checksum"):
        checked(kept, digest)
    with pytest.raises(BadInput, match="cannot be downloaded"):
        fetch((tmp_path / "nothing").as_uri(), tmp_path / "cache", digest)


def test_the_bundled_digits_are_dealt_out_whole_and_without_overlap() -> None:
    sklearn = pytest.importorskip("sklearn.datasets")
    digits = data.load(None)
    parts = (digits.train, digits.validation, digits.test)
    assert [len(part) for part in parts] == [1199, 299, 299]
    pictures = [image.tobytes() for part in parts for image in part.images]
    everything = sklearn.load_digits().data.astype(np.float32) / 16
    assert sorted(pictures) == sorted(image.tobytes() for image in everything)
    assert all(set(part.labels) == set(range(10)) for part in parts)
