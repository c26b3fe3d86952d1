"""Admissions: the fit is the best fit, and bad files are refused in one sentence."""

import numpy as np
import pytest
from admissions import applicants
from admissions.network import Network
from trial import BadInput

from .conftest import WORKLOADS


def test_the_first_example_has_forty_lines_at_most() -> None:
    assert len((WORKLOADS / "admissions" / "train.py").read_text().splitlines()) <= 40


@pytest.mark.parametrize("hidden", [0, 5])
def test_gradients_are_the_numeric_derivatives_of_the_loss(hidden: int) -> None:
    (x, y), *_ = applicants.load(None)
    network = Network(x.shape[1], hidden, seed=3)
    for weight, gradient in zip(network.weights, network.gradients(x[:50], y[:50]), strict=True):
        for place in np.ndindex(weight.shape):
            kept, losses = weight[place], []
            for weight[place] in (kept - 1e-5, kept + 1e-5):
                losses.append(network.judge(x[:50], y[:50])[0])
            weight[place] = kept
            assert gradient[place] == pytest.approx((losses[1] - losses[0]) / 2e-5, rel=1e-4, abs=1e-8)


def test_logistic_regression_finds_what_scikit_learn_finds(program_here) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    done = program_here("admissions.train", "--epochs", 2000)
    assert done.code == 0, done.err
    people, admitted = applicants.draw(2_000, seed=0)
    x = applicants.features(people)
    part = np.random.default_rng(0).permutation(len(x)) * 10 // len(x)
    reference = linear_model.LogisticRegression(C=1e9, max_iter=5_000).fit(x[part < 6], admitted[part < 6])
    with np.load(done.folder / "model" / "weights.npz") as saved:
        weights = saved["arr_0"][:, 0]
    assert weights[:2] == pytest.approx(reference.coef_[0, :2], abs=0.01)
    # Four columns for four ranks and a bias: only differences between ranks are determined.
    assert np.diff(weights[2:6]) == pytest.approx(np.diff(reference.coef_[0, 2:]), abs=0.02)
    assert done.card["metrics"]["test_accuracy"] == pytest.approx(reference.score(x[part >= 8], admitted[part >= 8]))


def test_the_hidden_layer_learns_and_a_cut_training_ends_with_equal_results(program_here) -> None:
    settings = ("--hidden", 6, "--lr", 3)
    whole = program_here("admissions.train", *settings, "--epochs", 60, in_="whole")
    first = program_here("admissions.train", *settings, "--epochs", 25, in_="cut")
    rest = program_here("admissions.train", *settings, "--epochs", 60, in_="cut")
    assert "going on after epoch 25" in rest.out
    assert whole.card == rest.card
    assert whole.card["metrics"]["val_loss"] < first.card["metrics"]["val_loss"]


def test_a_training_with_other_settings_is_not_continued(program_here) -> None:
    assert program_here("admissions.train", "--smoke", "--checkpoint", "c").code == 0
    other = program_here("admissions.train", "--smoke", "--checkpoint", "c", "--lr", 0.5)
    assert other.code == 2
    assert other.err.startswith("error: ")
    assert "lr 1.0, not 0.5" in other.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("admit,gre,gpa\n1,600,3.5\n", "no column rank"),
        ("admit,gre,gpa,rank\n1,six hundred,3.5,1\n", ":2: .* must be finite numbers"),
        ("admit,gre,gpa,rank\n1,600\n", ":2: .* must be finite numbers"),
        ("admit,gre,gpa,rank\n1,inf,3.5,1\n", ":2: .* must be finite numbers"),
        ("admit,gre,gpa,rank\n1,600,3.5,7\n", ":2: .* rank 1 to 4"),
        ("admit,gre,gpa,rank\n1,600,3.5,1\n", "only 1 applicants"),
        ("", "no column"),
    ],
)
def test_a_bad_file_is_refused_and_its_line_is_named(tmp_path, content: str, message: str) -> None:
    (tmp_path / "bad.csv").write_text(content)
    with pytest.raises(BadInput, match=message):
        applicants.read(str(tmp_path / "bad.csv"))


def test_a_good_file_is_read(tmp_path) -> None:
    (tmp_path / "good.csv").write_text("admit,gre,gpa,rank\n" + "0,380,3.61,3\n1,660,3.67,3\n" * 10)
    people, admitted = applicants.read(str(tmp_path / "good.csv"))
    assert people[:2].tolist() == [[380, 3.61, 3], [660, 3.67, 3]]
    assert admitted.sum() == 10
