"""
Loss curves and early stopping
==============================

With few rows and many features a long fit learns the training rows by heart. Rows held out
show when, and early stopping keeps the model from before.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split

from sksoftmax import SoftmaxClassifier
from sksoftmax.inspection import LossCurveDisplay

X, y = make_classification(
    1500, 200, n_informative=12, n_classes=4, flip_y=0.1, class_sep=1.5, random_state=0
)
X, X_test, y, y_test = train_test_split(X, y, test_size=1000, random_state=0)

# %%
# Both fits have next to no penalty. The first stops on its training loss, and says nothing of
# other rows; the second watches rows held out:

settings = {"alpha": 1e-6, "batch_size": 32, "random_state": 0}
long = SoftmaxClassifier(max_iter=60, tol=None, **settings).fit(X, y)
early = SoftmaxClassifier(max_iter=60, tol=None, early_stopping=True, **settings).fit(X, y)
for name, clf in {"all epochs": long, "early stopping": early}.items():
    print(f"{name}: {clf.score(X_test, y_test):.1%} of the test rows")

# %%
# The loss on the training rows falls on; the one on rows held out turns, and the epoch where it
# is lowest is the model kept:

ax = LossCurveDisplay.from_estimator(early, name="objective").ax_
ax.axvline(early.best_iter_, color="gray", linewidth=1)
ax.annotate(
    f"kept: epoch {early.best_iter_}",
    (early.best_iter_, early.loss_curve_[0]),
    xytext=(6, -4),
    textcoords="offset points",
)
ax.set_title("What more epochs teach is not what the other rows need")
plt.show()

# %%
# A penalty is the other cure. With the default ``tol``, fits of several strengths end by
# themselves:

figure, ax = plt.subplots(layout="constrained")
for alpha in (1e-4, 1e-2, 1e-1):
    clf = SoftmaxClassifier(alpha=alpha, batch_size=32, random_state=0).fit(X, y)
    name = f"alpha={alpha:g}: {clf.score(X_test, y_test):.1%} of the test rows"
    LossCurveDisplay.from_estimator(clf, ax=ax, name=name)
ax.legend(ax.lines[::2], [line.get_label() for line in ax.lines[::2]])
plt.show()
