"""
A hundred penalties at once
===========================

A path of coefficients over a hundred strengths of the penalty, with the accuracy that
cross-validation finds for each: 500 models, trained fold by fold, a hundred at a time.
"""

from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from sksoftmax import SoftmaxClassifier, SoftmaxClassifierCV

X, y = load_digits(return_X_y=True)
alphas = np.logspace(-5, 1, 100)

start = perf_counter()
model = {"random_state": 0, "backend": "numpy"}  # the first use of Numba's would compile
clf = SoftmaxClassifierCV(alphas=alphas, scoring="neg_log_loss", **model).fit(X, y)
together = perf_counter() - start
print(f"alpha = {clf.alpha_:.2g}, log loss {-clf.best_score_:.3f}, {together:.1f} s")

# %%
# One after another, a few of these models take their time:

start = perf_counter()
few = {"alpha": alphas[::20]}
GridSearchCV(SoftmaxClassifier(**model), few, scoring="neg_log_loss").fit(X, y)
print(f"{len(few['alpha'])} of the 100 one after another: {perf_counter() - start:.1f} s")

# %%
# ``coefs_paths_`` holds the coefficients of all fits, ``scores_`` what they reach. Shown are
# the weights of one class on the first fold, in standard deviations of each pixel, and the
# scores of all folds.

paths = clf.coefs_paths_[0, :, 0, 0, 8, :-1] * clf.scale_
losses = -clf.scores_[:, :, 0, 0]
figure, (top, bottom) = plt.subplots(2, sharex=True, figsize=(6.4, 6), layout="constrained")
top.plot(alphas, paths, linewidth=0.8)
top.set(xscale="log", ylabel="weight for the digit 8")
bottom.plot(alphas, losses.T, color="0.7", linewidth=0.8)
bottom.plot(alphas, losses.mean(axis=0), label="mean of 5 folds")
bottom.axvline(clf.alpha_, color="gray", linestyle=":", label="chosen")
bottom.set(yscale="log", xlabel="alpha", ylabel="log loss on rows held out")
bottom.legend()
plt.show()
