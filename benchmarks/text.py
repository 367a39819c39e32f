"""Words by tf-idf, with and without `standardize`: accuracy and log-loss on rows held out.

Run ``python -m benchmarks.text`` with ``SKSOFTMAX_TABLES`` naming a folder of tables. The texts
and word counts in it are judged on five stratified folds, by default and with `alpha` searched
among powers of ten, by its log-loss on three folds of the training rows.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from benchmarks.measure import machine, print_table
from benchmarks.step.sets import all_sets
from sksoftmax import SoftmaxClassifier
from sksoftmax.model_selection import SoftmaxSearchCV

ALPHAS = [10.0**p for p in range(-7, 1)]


def contestants() -> dict[str, Any]:
    """Return estimators by name: each with and without `standardize`."""
    made = {}
    for standardize in (True, False):
        clf = SoftmaxClassifier(standardize=standardize, backend="numpy", random_state=0)
        search = SoftmaxSearchCV(clf, {"alpha": ALPHAS}, scoring="neg_log_loss", cv=3)
        made[f"default, standardize={standardize}"] = clf
        made[f"searched, standardize={standardize}"] = search
    return made


def judge(X: Any, y: np.ndarray) -> dict[str, np.ndarray]:
    """Return accuracy and log-loss on each fold, and the strengths used, by estimator."""
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(X, y))
    results = {}
    for name, model in contestants().items():
        rows = []
        for train, test in folds:
            model.fit(X[train], y[train])
            probabilities = model.predict_proba(X[test])
            accuracy = np.mean(model.classes_[probabilities.argmax(axis=1)] == y[test])
            loss = log_loss(y[test], probabilities, labels=model.classes_)
            alpha = getattr(model, "best_estimator_", model).alpha_
            rows.append((accuracy, loss, alpha))
        results[name] = np.array(rows)
    return results


def main() -> None:
    """Print a table a set, and how far apart the two are."""
    print(machine())
    sets = {s.name: s.data for s in all_sets().values() if s.kind in ("text", "counts")}
    for name in [name for name, s in all_sets().items() if s.kind == "counts"]:
        X, y = sets.pop(name)
        sets[f"{name}, counts"] = X, y
        sets[f"{name}, tf-idf"] = TfidfTransformer().fit_transform(X), y
    for name, (X, y) in sets.items():
        results = judge(X, y)
        print_table(
            (
                f"{name}: {X.shape}, {len(np.unique(y))} classes",
                "accuracy",
                "log-loss",
                "alpha",
            ),
            [
                (
                    label,
                    f"{result[:, 0].mean():.4f}",
                    f"{result[:, 1].mean():.4f}",
                    f"{np.median(result[:, 2]):.1e}",
                )
                for label, result in results.items()
            ],
        )
        for kind in ("default", "searched"):
            gain = results[f"{kind}, standardize=False"] - results[f"{kind}, standardize=True"]
            mean, error = gain.mean(axis=0), gain.std(axis=0, ddof=1) / np.sqrt(len(gain))
            print(
                f"{kind}: False less True, accuracy {mean[0]:+.4f} (standard error"
                f" {error[0]:.4f}), log-loss {mean[1]:+.4f} ({error[1]:.4f})",
                flush=True,
            )


if __name__ == "__main__":
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        main()
