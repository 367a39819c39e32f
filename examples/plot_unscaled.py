"""
Unscaled features, beside the peers
===================================

The first question about a poor linear model is whether the features were scaled. Here they
are not: four data sets that scikit-learn ships go in as they are, with every estimator's
defaults.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksoftmax import SoftmaxClassifier

ESTIMATORS = {
    "SoftmaxClassifier": SoftmaxClassifier(random_state=0),
    "LogisticRegression": LogisticRegression(),
    "SGDClassifier": SGDClassifier(loss="log_loss", random_state=0),
    "MLPClassifier(())": MLPClassifier((), random_state=0),
}
DATA = {
    "iris": load_iris,
    "wine": load_wine,
    "breast cancer": load_breast_cancer,
    "digits": load_digits,
}
split = StratifiedShuffleSplit(5, test_size=0.3, random_state=0)


def accuracies(wrap):
    """Return the mean accuracy of each estimator on each data set, and print a table."""
    print(" " * 20, *(f"{name:>14}" for name in DATA))
    table = {}
    for name, estimator in ESTIMATORS.items():
        table[name] = [
            cross_val_score(wrap(estimator), *load(return_X_y=True), cv=split).mean()
            for load in DATA.values()
        ]
        print(f"{name:20}", *(f"{accuracy:14.1%}" for accuracy in table[name]))
    return table


# %%
# Mean accuracy over five splits, 30% of the rows to test on. Peers warn that they did not
# converge, which is the point; the warnings are left out here:

warnings.simplefilter("ignore", ConvergenceWarning)
raw = accuracies(lambda estimator: estimator)

# %%
# The same behind a :class:`~sklearn.preprocessing.StandardScaler`:

scaled = accuracies(lambda estimator: make_pipeline(StandardScaler(), estimator))

# %%
# Hollow points are raw features, full points scaled ones, and the line between is what a scaler
# is worth:

figure, axes = plt.subplots(
    2, 2, figsize=(6.4, 5), sharex=True, sharey=True, layout="constrained"
)
places = np.arange(len(ESTIMATORS))
for column, (ax, data) in enumerate(zip(axes.flat, DATA, strict=True)):
    for place, name in zip(places, ESTIMATORS, strict=True):
        before, after = raw[name][column], scaled[name][column]
        ax.plot([before, after], [place, place], color=f"C{place}", linewidth=2)
        ax.plot(before, place, "o", color=f"C{place}", markerfacecolor="white", markersize=8)
        ax.plot(after, place, "o", color=f"C{place}", markersize=5)
    ax.set(title=data, xlim=(0.3, 1.02))
    ax.grid(axis="x", alpha=0.3)
axes[0, 0].set_yticks(places, ESTIMATORS)
axes[0, 0].invert_yaxis()
figure.supxlabel("accuracy", fontsize="medium")
plt.show()
