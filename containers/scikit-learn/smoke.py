"""Fits a model, so that the image is known to work."""

import sklearn
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

features, labels = load_iris(return_X_y=True)
score = LogisticRegression(max_iter=500).fit(features, labels).score(features, labels)
assert score > 0.9, score
print(f"scikit-learn {sklearn.__version__} works: {score:.3f} on iris")
