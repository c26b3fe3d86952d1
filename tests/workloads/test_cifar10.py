"""CIFAR-10: the binary loader and its checks, the changes to pictures, and steps that add up over processes."""

import hashlib
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from cifar10 import data, network, processes
from trial import BadInput

from tests.environments import Environments

from .test_frameworks import start

RANDOM = np.random.default_rng(0)


def batch(count: int) -> bytes:
    labels = (np.arange(count) % 10).astype(np.uint8)[:, None]
    return np.concatenate([labels, RANDOM.integers(0, 256, (count, 3072)).astype(np.uint8)], axis=1).tobytes()


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    for name in (*data.BATCHES, data.TEST):
        (tmp_path / name).write_bytes(batch(20))
    return tmp_path


def test_records_become_pictures_and_the_fifth_batch_validates(unpacked: Path) -> None:
    pictures = data.load(str(unpacked))
    assert (len(pictures.train), len(pictures.validation), len(pictures.test)) == (80, 20, 20)
    raw = np.frombuffer((unpacked / "data_batch_5.bin").read_bytes(), np.uint8).reshape(-1, 3073)
    red, green, blue = raw[7, 1:].reshape(3, 32, 32)
    np.testing.assert_array_equal(pictures.validation.images[7], np.stack([red, green, blue], axis=-1))
    assert pictures.validation.labels[7] == raw[7, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (batch(3)[:-1], "no whole number of records"),
        (b"", "no whole number of records"),
        (b"\x0a" + batch(3)[1:], "a class is 10"),
    ],
)
def test_a_damaged_batch_is_refused_by_name(unpacked: Path, content: bytes, message: str) -> None:
    (unpacked / "data_batch_3.bin").write_bytes(content)
    with pytest.raises(BadInput, match=message) as refused:
        data.load(str(unpacked))
    assert "data_batch_3.bin" in str(refused.value)


def test_an_archive_that_is_not_the_published_one_is_refused(
    unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / data.ARCHIVE
    with tarfile.open(path, "w:gz") as archive:
        for name in (*data.BATCHES, data.TEST):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = (unpacked / name).stat().st_size
            archive.addfile(member, io.BytesIO((unpacked / name).read_bytes()))
    with pytest.raises(BadInput, match="checksum"):
        data.load(str(path))
    monkeypatch.setattr(data, "ARCHIVE_MD5", f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}")
    assert data.load(str(path)).sha256 == data.load(str(unpacked)).sha256


def test_a_url_is_downloaded_before_there_are_several_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cifar10.loop import arguments

    (tmp_path / "from").mkdir()
    source = tmp_path / "from" / data.ARCHIVE
    source.write_bytes(b"the archive")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "ARCHIVE_MD5", f"md5:{hashlib.md5(b'the archive').hexdigest()}")
    monkeypatch.setattr(sys, "argv", ["train", "--processes", "2", "--data", source.as_uri()])
    assert Path(arguments("").data).read_bytes() == b"the archive"


def test_a_missing_batch_is_named(unpacked: Path) -> None:
    (unpacked / "test_batch.bin").unlink()
    with pytest.raises(BadInput, match=r"test_batch\.bin is not there"):
        data.load(str(unpacked))


def test_augmented_pictures_are_the_pictures_moved_or_mirrored() -> None:
    images = RANDOM.integers(1, 256, (50, 32, 32, 3)).astype(np.uint8)
    changed = data.augment(images, np.random.default_rng(1))
    assert changed.shape == images.shape
    kinds = set()
    for image, after in zip(images, changed, strict=True):
        padded = np.pad(image, ((4, 4), (4, 4), (0, 0)))
        found = [
            (down - 4, right - 4, mirrored)
            for down in range(9)
            for right in range(9)
            for mirrored in (False, True)
            if np.array_equal(
                padded[down : down + 32, right : right + 32][:, :: -1 if mirrored else 1],
                after,
            )
        ]
        assert len(found) == 1
        kinds.add(found[0])
    assert len({mirrored for *_, mirrored in kinds}) == 2
    assert len(kinds) > 30


def test_drawn_shapes_are_ten_classes_in_three_parts() -> None:
    pictures = data.draw_shapes(600, seed=3)
    assert [len(part) for part in (pictures.train, pictures.validation, pictures.test)] == [400, 100, 100]
    assert set(pictures.train.labels) == set(range(10))
    assert data.draw_shapes(600, seed=3).sha256 == pictures.sha256 != data.draw_shapes(600, seed=4).sha256


def test_initial_weights_keep_the_size_of_what_passes_through() -> None:
    weights = network.weights(width=8, seed=1)
    assert list(weights)[:4] == ["conv1.kernel", "conv1.bias", "conv2.kernel", "conv2.bias"]
    assert weights["conv6.kernel"].shape == (3, 3, 32, 32)
    assert weights["dense1.kernel"].shape == (4 * 4 * 32, 64)
    assert weights["dense1.kernel"].var() == pytest.approx(2 / 512, rel=0.05)


def test_when_one_process_fails_the_others_are_ended(tmp_path: Path) -> None:
    script = tmp_path / "fails.py"
    script.write_text(
        "import sys, time\n"
        "from cifar10.processes import run_in\n"
        "def work(rank, count):\n"
        "    sys.exit(3) if rank == 1 else time.sleep(600)\n"
        "if __name__ == '__main__':\n"
        "    run_in(3, work)\n"
    )
    from .conftest import WORKLOADS

    done = subprocess.run([sys.executable, script], env={"PYTHONPATH": str(WORKLOADS)}, timeout=60)
    assert done.returncode == 3


def test_free_ports_differ() -> None:
    assert len(set(processes.free_ports(5))) == 5


MODULES = {"tensorflow": "tensorflow", "pytorch": "torch"}


@pytest.mark.parametrize("framework", MODULES)
def test_two_processes_take_the_steps_that_one_takes(
    framework: str, tmp_path: Path, environments: Environments
) -> None:
    python = environments.python("cifar10", framework, MODULES[framework])
    size = ("--smoke", "--width", 2)
    one = start(python, f"cifar10.train_{framework}", tmp_path / "one", *size, "--epochs", 2)
    two = start(python, f"cifar10.train_{framework}", tmp_path / "two", *size, "--epochs", 2, "--processes", 2)
    assert two.card["metrics"] == one.card["metrics"]
    if framework == "tensorflow":
        ends = [path for done in (one, two) for path in done.folder.glob("checkpoint/*/epoch-2/weights.npz")]
        with np.load(ends[0]) as first, np.load(ends[1]) as second:
            for name in first.files:
                np.testing.assert_allclose(second[name], first[name], atol=1e-4, err_msg=name)
            start_of_it = network.weights(2, seed=1)
            assert max(np.abs(first[name] - start_of_it[name]).max() for name in first.files) > 0.01


def test_both_frameworks_take_the_same_steps(tmp_path: Path, environments: Environments) -> None:
    pythons = {name: environments.python("cifar10", name, module) for name, module in MODULES.items()}
    losses = [
        start(python, f"cifar10.train_{name}", tmp_path / name, "--smoke", "--epochs", 1).metrics["loss"]
        for name, python in pythons.items()
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
