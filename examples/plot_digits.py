"""
Digits, a first look
====================

The pixels go in as they are, and nothing is tuned.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import train_test_split

from sksoftmax import SoftmaxClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
clf = SoftmaxClassifier(random_state=0).fit(X_train, y_train)
print(f"{clf.score(X_test, y_test):.1%} of {len(y_test)} digits right, {clf.n_iter_} epochs")

# %%
# Which digits are taken for which:

ConfusionMatrixDisplay.from_estimator(clf, X_test, y_test, cmap="Blues", colorbar=False)
plt.show()

# %%
# The eight least certain, each with its two most probable classes:

probabilities = clf.predict_proba(X_test)
ranked = np.sort(probabilities, axis=1)
doubtful = np.argsort(ranked[:, -1] - ranked[:, -2])[:8]
figure, axes = plt.subplots(2, 4, figsize=(6.4, 4.6), layout="constrained")
for ax, i in zip(axes.flat, doubtful, strict=True):
    second, first = np.argsort(probabilities[i])[-2:]
    ax.imshow(X_test[i].reshape(8, 8), cmap="gray_r")
    ax.set(xticks=[], yticks=[], title=f"a true {y_test[i]}")
    ax.set_xlabel(
        f"{clf.classes_[first]}: {probabilities[i, first]:.0%},"
        f" {clf.classes_[second]}: {probabilities[i, second]:.0%}"
    )
plt.show()
