"""
Calibration against one-versus-rest
===================================

One-versus-rest fits a binary model for each class and divides by the sum. For a class between
others no binary linear model is right, so its probabilities are not what happens. Softmax fits
all classes at once.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.multiclass import OneVsRestClassifier

from sksoftmax import SoftmaxClassifier

# %%
# Five clouds of one shape in a row: for these, a softmax of linear scores is exactly the truth,
# so whatever is off here is the method's doing and not the data's.

rng = np.random.default_rng(0)


def draw(n_rows):
    """Return rows and labels from five clouds."""
    y = rng.integers(5, size=n_rows)
    centres = np.column_stack([1.4 * np.arange(5), [0, 0.6, 0, -0.6, 0]])
    return centres[y] + rng.standard_normal((n_rows, 2)), y


X_train, y_train = draw(20_000)
X_test, y_test = draw(50_000)
models = {
    "softmax": SoftmaxClassifier(random_state=0),
    "one-versus-rest": OneVsRestClassifier(LogisticRegression()),
}
for name, model in models.items():
    model.fit(X_train, y_train)
    loss = log_loss(y_test, model.predict_proba(X_test))
    print(f"{name:16} accuracy {model.score(X_test, y_test):.1%}   log loss {loss:.3f}")

# %%
# Reliability curves: of the rows to which a model gives a class with probability p, which share
# is of that class? On the diagonal, p is what happens.

figure, axes = plt.subplots(1, 2, figsize=(7, 3.8), sharey=True, layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    probabilities = model.predict_proba(X_test)
    ax.plot([0, 1], [0, 1], color="gray", linewidth=1)
    for label in range(5):
        happened, predicted = calibration_curve(
            y_test == label, probabilities[:, label], n_bins=12, strategy="quantile"
        )
        ax.plot(predicted, happened, "o-", markersize=4, label=f"class {label}")
    ax.set(title=name, xlabel="predicted probability", aspect="equal")
axes[0].set_ylabel("share that is of the class")
axes[0].legend()
plt.show()
