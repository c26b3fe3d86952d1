"""The networks written by hand: their derivatives, and their agreement with those of others."""

import numpy as np
import pytest
from from_scratch.logistic import Logistic
from from_scratch.lstm import Lstm
from from_scratch.mlp import Perceptron
from from_scratch.network import Network, batches, cross_entropy, numeric_gradients

RANDOM = np.random.default_rng(3)


@pytest.mark.parametrize(
    ("network", "inputs"),
    [
        (Logistic(5, 4, RANDOM), RANDOM.normal(size=(6, 5))),
        (Perceptron([5, 7, 6, 4], RANDOM), RANDOM.normal(size=(6, 5))),
        (Lstm(3, 5, 4, RANDOM), RANDOM.normal(size=(6, 7, 3))),
    ],
    ids=["logistic", "mlp", "lstm"],
)
def test_gradients_are_the_numeric_derivatives_of_the_loss(network: Network, inputs: np.ndarray) -> None:
    labels = RANDOM.integers(4, size=6)
    for weight in network.weights.values():  # away from zero, where a rectifier has no derivative
        weight += RANDOM.normal(0, 0.3, weight.shape)
    _, gradients = network.loss_and_gradients(inputs, labels)
    numeric = numeric_gradients(network, inputs, labels)
    assert gradients.keys() == network.weights.keys()
    for name, gradient in gradients.items():
        assert np.abs(gradient).max() > 1e-3, name
        np.testing.assert_allclose(gradient, numeric[name], rtol=1e-5, atol=1e-8, err_msg=name)


def test_logistic_regression_finds_what_scikit_learn_finds() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    random = np.random.default_rng(0)
    inputs = random.normal(size=(300, 5))
    labels = (inputs @ random.normal(size=(5, 3)) + random.gumbel(size=(300, 3))).argmax(axis=1)
    reference = linear_model.LogisticRegression(C=1e9, tol=1e-8, max_iter=5_000).fit(inputs, labels)
    ours = Logistic(5, 3, random)
    for _ in range(3_000):
        _, gradients = ours.loss_and_gradients(inputs, labels)
        for name, gradient in gradients.items():
            ours.weights[name] -= gradient
    # Only differences between classes are determined.
    np.testing.assert_allclose(np.diff(ours.weights["kernel"].T, axis=0), np.diff(reference.coef_, axis=0), atol=1e-4)
    np.testing.assert_allclose(np.diff(ours.weights["bias"]), np.diff(reference.intercept_), atol=1e-4)


def test_cross_entropy_stays_finite_for_huge_scores() -> None:
    loss, slope = cross_entropy(np.array([[1e4, -1e4], [1e4, -1e4]]), np.array([0, 1]))
    assert loss == pytest.approx(1e4)
    assert np.isfinite(slope).all()


def test_the_lstm_and_its_gradients_are_those_of_keras(keras) -> None:
    tf = pytest.importorskip("tensorflow")
    ours = Lstm(3, 5, 4, np.random.default_rng(1))
    ours.weights["bias"] += np.random.default_rng(2).normal(0, 0.1, 20)
    inputs = np.random.default_rng(4).normal(size=(6, 7, 3))
    labels = np.array([0, 1, 2, 3, 0, 1])

    layer = keras.layers.LSTM(5, return_sequences=True, dtype="float64")
    layer.build(inputs.shape)
    layer.set_weights([ours.weights[name] for name in ("kernel", "recurrent", "bias")])
    with tf.GradientTape() as tape:
        theirs = layer(tf.constant(inputs))
        scores = theirs[:, -1] @ ours.weights["out"] + ours.weights["out_bias"]
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores))
    slopes = tape.gradient(loss, layer.trainable_variables)

    np.testing.assert_allclose(np.stack([step.hidden for step in ours.read(inputs)], axis=1), theirs, atol=1e-10)
    our_loss, gradients = ours.loss_and_gradients(inputs, labels)
    assert our_loss == pytest.approx(float(loss))
    for name, slope in zip(("kernel", "recurrent", "bias"), slopes, strict=True):
        np.testing.assert_allclose(gradients[name], slope, atol=1e-10, err_msg=name)


def test_an_epoch_sees_every_sample_once_and_another_order_each_time() -> None:
    first, second = ([*batches(103, 10, (1, epoch))] for epoch in (0, 1))
    assert sorted(np.concatenate(first)) == list(range(103))
    assert not np.array_equal(np.concatenate(first), np.concatenate(second))


@pytest.mark.parametrize(("model", "least"), [("logistic", 0.90), ("mlp", 0.94), ("lstm", 0.90)])
def test_each_network_learns(program, model: str, least: float) -> None:
    pytest.importorskip("sklearn")
    settings = ("--model", model, "--lr", 0.05, "--epochs", 10)
    done = program("from_scratch.train", *settings, env={"OPENBLAS_NUM_THREADS": "1"})
    assert done.code == 0, done.err
    assert done.card["metrics"]["test_accuracy"] > least
