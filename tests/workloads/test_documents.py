"""Documents: metrics as scikit-learn counts them, and a consensus that looks at no test document."""

from pathlib import Path

import numpy as np
import pytest
from trial import BadInput
from trial.arrays import read_npz

metrics = pytest.importorskip("sklearn.metrics")
from documents.consensus import NAMES, choose_weights, find, weighted  # noqa: E402
from documents.scores import confusion, metrics_of  # noqa: E402


def test_metrics_and_confusion_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    labels, found = random.integers(5, size=200), random.integers(5, size=200)
    ours = metrics_of("val", found, labels, 5)
    np.testing.assert_array_equal(confusion(found, labels, 5), metrics.confusion_matrix(labels, found))
    assert ours["val_accuracy"] == pytest.approx(metrics.accuracy_score(labels, found))
    assert ours["val_f1"] == pytest.approx(metrics.f1_score(labels, found, average="macro"))


def test_the_consensus_trusts_whoever_was_right_in_validation() -> None:
    labels = np.array([0, 1, 2] * 10)
    right = np.eye(3)[labels]
    wrong = np.roll(right, 1, axis=1)
    shares = choose_weights([wrong, right, wrong], labels)
    assert sum(shares) == pytest.approx(1)
    assert (weighted([wrong, right, wrong], shares).argmax(axis=1) == labels).all()
    assert shares[1] > shares[0] + shares[2]


def test_equally_good_classifiers_get_the_most_even_shares() -> None:
    right = np.eye(3)[np.array([0, 1, 2] * 5)]
    assert choose_weights([right, right], right.argmax(axis=1)) == (0.5, 0.5)
    assert sorted(choose_weights([right] * 4, right.argmax(axis=1))) == [0.2, 0.2, 0.3, 0.3]


def test_three_classifiers_and_their_consensus_beat_chance_by_far(program_here, tmp_path: Path) -> None:
    for classifier in ("naive-bayes", "logistic", "forest"):
        done = program_here("documents.train", "--classifier", classifier, "--strength", 0.5, in_=f"votes/{classifier}")
        assert done.code == 0, done.err
        assert done.card["metrics"]["test_accuracy"] > 0.75
        assert (done.folder / "confusion.png").stat().st_size > 5_000
    merged = program_here("documents.consensus", tmp_path / "votes")
    assert merged.code == 0, merged.err
    alone = [read_npz(path, NAMES) for path in find([str(tmp_path / "votes")])]
    best = max(np.mean(one["val_probabilities"].argmax(axis=1) == one["val_labels"]) for one in alone)
    assert merged.metrics["val_accuracy"] >= best - 1e-6
    assert merged.out.count("weight") == 3
    assert (merged.folder / "consensus.png").exists()


def test_predictions_that_cannot_be_merged_are_refused(program_here, tmp_path: Path) -> None:
    kept = {
        "classes": np.array(["a", "b"]),
        "val_labels": np.array([0, 1]),
        "val_probabilities": np.eye(2),
        "test_labels": np.array([0, 1]),
        "test_probabilities": np.eye(2),
    }
    for name, labels in (("one", [0, 1]), ("two", [1, 1])):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "predictions.npz", **(kept | {"test_labels": np.array(labels)}))
    other = program_here("documents.consensus", tmp_path / "one", tmp_path / "two")
    assert (other.code, "different documents" in other.err) == (2, True)
    with pytest.raises(BadInput, match="two predictions"):
        find([str(tmp_path / "one")])
    (tmp_path / "two" / "predictions.npz").write_bytes(b"PK no archive")
    other = program_here("documents.consensus", tmp_path / "one", tmp_path / "two")
    assert (other.code, "two/predictions.npz: cannot be read" in other.err) == (2, True)


def test_texts_without_words_are_refused(program_here, tmp_path: Path) -> None:
    (tmp_path / "signs.csv").write_text("label,text\n" + "".join(f"{n % 2},{n}\n" for n in range(60)))
    done = program_here("documents.train", "--corpus", "csv", "--data", tmp_path / "signs.csv")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "these texts cannot be learnt from (empty vocabulary" in done.err
