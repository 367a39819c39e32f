"""
Loss curves and early stopping
==============================

With few rows and many features a long fit learns the training rows by heart. Rows held out
show when, and early stopping keeps the model from before.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits, make_classification
from sklearn.model_selection import train_test_split

from sksoftmax import SoftmaxClassifier
from sksoftmax.inspection import LossCurveDisplay

X, y = make_classification(
    1500, 200, n_informative=12, n_classes=4, flip_y=0.1, class_sep=1.5, random_state=0
)
X, X_test, y, y_test = train_test_split(X, y, test_size=1000, random_state=0)

# %%
# There is next to no penalty here, and the step is small, so that the turn can be seen. The
# first fit says nothing of other rows; the second watches a tenth of them, held out:

settings = {"alpha": 1e-6, "learning_rate": 0.02, "max_iter": 80, "tol": None}
long = SoftmaxClassifier(random_state=0, **settings).fit(X, y)
early = SoftmaxClassifier(random_state=0, early_stopping=True, **settings).fit(X, y)
for name, clf in {"all epochs": long, "early stopping": early}.items():
    print(f"{name}: {clf.score(X_test, y_test):.1%} of the test rows")

# %%
# The loss on the training rows falls on. On the rows held out it turns, and the epoch where it
# is lowest is the model kept:

ax = LossCurveDisplay.from_estimator(early, name="objective").ax_
ax.axvline(early.best_iter_, color="gray", linewidth=1)
ax.annotate(
    f"kept: epoch {early.best_iter_}",
    (early.best_iter_, 1),
    xycoords=ax.get_xaxis_transform(),
    xytext=(6, -16),
    textcoords="offset points",
)
ax.lines[1].set_label("loss on rows held out")
ax.legend()
ax.set_title("What more epochs teach is not what other rows need")
plt.show()

# %%
# Curves are also the way to compare settings. On the digits as they are, pixels from 0 to 16,
# ten epochs each. The textbook's loop takes 0.01, the largest power of ten with which its first
# epoch is not above log 10, the loss of guessing:

X, y = load_digits(return_X_y=True)
textbook = {"momentum": 0, "average": False, "standardize": False, "learning_rate": 1e-2}
figure, ax = plt.subplots(layout="constrained")
for name, settings in {
    "the defaults": {},
    "Adam": {"optimizer": "adam"},
    "cosine schedule": {"schedule": "cosine"},
    "the textbook's loop": textbook,
}.items():
    clf = SoftmaxClassifier(max_iter=10, tol=None, random_state=0, **settings).fit(X, y)
    LossCurveDisplay.from_estimator(clf, ax=ax, name=name)
ax.set_yscale("log")
plt.show()
