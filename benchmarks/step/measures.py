"""What is measured of each set: fits of the whole set, and of splits beside a peer."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from time import process_time
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.step.objective import Objective
from benchmarks.step.sets import LARGE, BenchmarkSet
from sksoftmax import SoftmaxClassifier

EPOCHS = (1, 3, 10)
RATES = np.logspace(-3, 1, 9)
REGRET_FLOOR = 1e-6
"""Gaps below this are as good as none: their ratios say nothing."""


@dataclass
class Options:
    """What a run measures.

    Parameters
    ----------
    parameters : dict
        Parameters of the estimator other than its defaults.
    n_splits : int
        Splits into rows to train on and to test on.
    regret : bool
        Whether to try the hand-chosen rates.
    cache : Path or None
        File of optima and the peer's figures, made where there is none.
    """

    parameters: dict[str, Any] = field(default_factory=dict)
    n_splits: int = 5
    regret: bool = False
    cache: Path | None = None

    def estimator(self, **parameters: Any) -> SoftmaxClassifier:
        """Return an estimator with all defaults, but for what the caller asks for."""
        return SoftmaxClassifier(**{"random_state": 0} | self.parameters | parameters)

    def cached(self, key: str, compute: Callable[[], Any]) -> Any:
        """Return what an earlier run found under a key, or compute and remember it."""
        if self.cache is None:
            return compute()
        known = json.loads(self.cache.read_text()) if self.cache.exists() else {}
        if key not in known:
            known[key] = compute()
            self.cache.parent.mkdir(parents=True, exist_ok=True)
            self.cache.write_text(json.dumps(known, indent=0))
        return known[key]


def measure(data: BenchmarkSet, options: Options) -> dict[str, Any]:
    """Measure one set.

    Parameters
    ----------
    data : BenchmarkSet
        The set.
    options : Options
        What to measure.

    Returns
    -------
    dict
        Numbers and lists by name, as JSON can hold them. Gaps are distances to the optimum
        as shares of the distance at zero weights.
    """
    X, y = data.X, data.y
    found = {
        "name": data.name,
        "kind": data.kind,
        "rows": X.shape[0],
        "features": X.shape[1],
        "classes": len(np.unique(y)),
    }
    key = f"{data.name}, {_fingerprint(X, y)}"
    n_splits = 1 if data.kind == LARGE else options.n_splits
    return found | _of_whole_set(X, y, key, options) | _of_splits(X, y, key, n_splits, options)


def _of_whole_set(X: Any, y: np.ndarray, key: str, options: Options) -> dict[str, Any]:
    """How far fits of all rows get after so many epochs, and where the default one stops."""
    stopped, warned = _fitted(options.estimator(), X, y)
    alpha = _alpha(stopped)
    objective = Objective(X, y, alpha)
    optimum, bound = options.cached(f"optimum: {key}, {alpha!r}", objective.optimum)
    whole = objective.at_zero - optimum

    def gap(clf: SoftmaxClassifier) -> float:
        return (objective.of_model(clf.coef_, clf.intercept_) - optimum) / whole

    found = {
        "alpha": alpha,
        "optimum": optimum,
        "optimum_bound": bound,
        "at_zero": objective.at_zero,
        "at_frequencies": objective.at_frequencies,
        "gap_at_stop": gap(stopped),
        "gap_at_frequencies": (objective.at_frequencies - optimum) / whole,
        "epochs": stopped.n_iter_,
        "steps": stopped.t_,
        "warned": warned,
        "loss_curve": [float(loss) for loss in stopped.loss_curve_],
        "gaps": [
            gap(_fitted(options.estimator(max_iter=n, tol=None), X, y)[0]) for n in EPOCHS
        ],
    }
    if options.regret:
        found |= _regret(X, y, found["gaps"][-1], gap, options)
    return found


def _regret(
    X: Any,
    y: np.ndarray,
    own: float,
    gap: Callable[[SoftmaxClassifier], float],
    options: Options,
) -> dict[str, Any]:
    """The gap beside the least that a rate chosen by hand leaves after as many epochs."""
    gaps = []
    for rate in RATES:
        clf = options.estimator(
            learning_rate=float(rate), momentum=0.9, max_iter=EPOCHS[-1], tol=None
        )
        try:
            gaps.append(gap(_fitted(clf, X, y)[0]))
        except ValueError:  # the steps diverged
            gaps.append(np.inf)
    least = min(gaps)
    return {
        "regret": max(own, REGRET_FLOOR) / max(least, REGRET_FLOOR),
        "best_rate": float(RATES[int(np.argmin(gaps))]),
        "gaps_of_rates": [g if np.isfinite(g) else None for g in gaps],
    }


def _of_splits(
    X: Any, y: np.ndarray, key: str, n_splits: int, options: Options
) -> dict[str, Any]:
    """Held-out accuracy and log-loss, and seconds of a fit, beside the peer's."""
    splits = StratifiedShuffleSplit(n_splits, test_size=0.3, random_state=0)
    ours, peers, of_frequencies, epochs = [], [], [], []
    for number, (train, test) in enumerate(splits.split(np.zeros(len(y)), y)):
        parts = X[train], y[train], X[test], y[test]
        clf = options.estimator()
        ours.append(_held_out(clf, *parts))
        epochs.append(clf.n_iter_)
        alpha = _alpha(clf)
        peers.append(
            options.cached(
                f"peer: {key}, {alpha!r}, split {number}",
                lambda alpha=alpha, parts=parts: _held_out(_peer(alpha, parts[0]), *parts),
            )
        )
        classes, codes = np.unique(y[train], return_inverse=True)
        shares = np.bincount(codes) / len(codes)
        of_frequencies.append(
            log_loss(y[test], np.tile(shares, (len(test), 1)), labels=classes)
        )
    found: dict[str, Any] = {
        "epochs_of_splits": epochs,
        "log_loss_frequencies": fmean(of_frequencies),
    }
    for name, results in (("ours", ours), ("peer", peers)):
        accuracies, losses, seconds = zip(*results, strict=True)
        found[f"accuracy_{name}"] = fmean(accuracies)
        found[f"log_loss_{name}"] = fmean(losses)
        found[f"seconds_{name}"] = median(seconds)
    return found


def _peer(alpha: float, X: Any) -> Any:
    """Return scikit-learn's own way to the same optimum."""
    return make_pipeline(
        StandardScaler(with_mean=not sparse.issparse(X)),
        LogisticRegression(C=1 / (alpha * X.shape[0]), max_iter=10_000),
    )


def _held_out(
    clf: Any, X: Any, y: np.ndarray, X_test: Any, y_test: np.ndarray
) -> tuple[float, float, float]:
    """Accuracy and log-loss on other rows, and the seconds that the fit took.

    Seconds are the processor's, since all fits run in one thread and a machine may be shared.
    """
    start = process_time()
    clf, _ = _fitted(clf, X, y)
    seconds = process_time() - start
    probabilities = clf.predict_proba(X_test)
    accuracy = float((clf.classes_[probabilities.argmax(axis=1)] == y_test).mean())
    return accuracy, float(log_loss(y_test, probabilities, labels=clf.classes_)), seconds


def _fitted(clf: Any, X: Any, y: np.ndarray) -> tuple[Any, bool]:
    """A fitted estimator, and whether it warned that it did not converge."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clf.fit(X, y)
    return clf, any(issubclass(w.category, ConvergenceWarning) for w in caught)


def _alpha(clf: SoftmaxClassifier) -> float:
    """The strength of the penalty that a fit used, which may depend on its rows."""
    return float(getattr(clf, "alpha_", clf.alpha))


def _fingerprint(X: Any, y: np.ndarray) -> str:
    """A name for exactly these rows, so that no figure of other ones is taken for theirs."""
    arrays = [X.data, X.indices, X.indptr] if sparse.issparse(X) else [X]
    digest = hashlib.blake2b(digest_size=8)
    for array in (*arrays, y):
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()
