"""Classify documents (abstracts, documentation) by one of three classifiers, and keep its answers for a consensus."""

import argparse
import warnings

import joblib
import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import ComplementNB
from sklearn.pipeline import make_pipeline
from text.data import KINDS, load
from trial import BadInput, report, run_program, settings_of, write_card
from trial.arguments import at_least

from .scores import draw_confusion, metrics_of


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classifier", choices=["naive-bayes", "logistic", "forest"], default="logistic")
    parser.add_argument("--strength", type=float, default=1.0, help="of smoothing, penalty or the number of trees")
    parser.add_argument("--corpus", choices=KINDS, default="scipy-documents")
    parser.add_argument("--data", help="the corpus' archive, folder or file (for csv: columns label and text)")
    parser.add_argument("--words", type=int, default=20_000, help="most words and word pairs that are told apart")
    parser.add_argument("--seed", type=at_least(0), default=1)
    parser.add_argument("--smoke", action="store_true", help="a size that ends in seconds, to see it run")
    chosen = parser.parse_args()
    if chosen.strength <= 0 or chosen.words < 1:
        raise BadInput(f"--strength {chosen.strength} --words {chosen.words}: both must be above 0")
    if chosen.smoke:
        chosen.words = min(chosen.words, 500)
    return chosen


def classifier(chosen: argparse.Namespace) -> ClassifierMixin:
    if chosen.classifier == "naive-bayes":
        return ComplementNB(alpha=chosen.strength)
    if chosen.classifier == "logistic":
        return LogisticRegression(C=10 / chosen.strength, max_iter=1_000)
    return RandomForestClassifier(max(10, round(200 * chosen.strength)), random_state=chosen.seed)


def main() -> None:
    chosen = arguments()
    corpus = load(chosen.corpus, chosen.data)
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), max_features=chosen.words, token_pattern=r"[a-z]+")
    model = make_pipeline(words, classifier(chosen))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)  # a fit that stopped halfway is no result
        try:
            model.fit(corpus.train.texts, corpus.train.labels)
        except (ConvergenceWarning, ValueError) as error:
            raise BadInput(
                f"--corpus {chosen.corpus}: these texts cannot be learnt from ({str(error).splitlines()[0]})"
            ) from error

    kept: dict[str, np.ndarray] = {"classes": np.array(corpus.classes)}
    metrics: dict[str, float] = {}
    for prefix, part in (("val", corpus.validation), ("test", corpus.test)):
        probabilities = np.zeros((len(part), len(corpus.classes)))
        probabilities[:, model.classes_] = model.predict_proba(part.texts)
        kept |= {f"{prefix}_labels": part.labels, f"{prefix}_probabilities": probabilities}
        metrics |= metrics_of(prefix, probabilities.argmax(axis=1), part.labels, len(corpus.classes))
    report(step=1, **metrics)
    write_card(
        "model",
        data=corpus.sha256,
        settings=settings_of(chosen),
        metrics=metrics,
        packages=["sklearn", "numpy"],
        classes=corpus.classes,
    )
    joblib.dump(model, "model/model.joblib")
    np.savez("predictions.npz", **kept)
    draw_confusion("confusion.png", kept["test_probabilities"].argmax(axis=1), corpus.test.labels, corpus.classes)


if __name__ == "__main__":
    run_program(main)
