"""Who runs, with which settings: ours with its defaults, each peer with a hand-tuned rate.

A contestant is made in the process that measures it, so that a library is imported nowhere
else. This module must not know how anything is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksoftmax import SoftmaxClassifier
from sksoftmax.model_selection import SoftmaxSearchCV

BATCH = 100
"""Rows a step of every peer that has batches: the size for which the rates were tuned."""

ALPHAS = np.logspace(-5, 1, 20)
"""Candidates of the search, per mean of the loss."""

OURS = "SoftmaxClassifier"
"""How the name of each contestant of ours begins."""


@dataclass(frozen=True)
class Contestant:
    """An estimator, and the lengths of its fits.

    Parameters
    ----------
    settings : str
        What differs from defaults, as the table shows it.
    make : callable
        Returns an estimator for a number of epochs and a seed.
    ladder : tuple of int, default=(1,)
        Epochs of the fits that are timed.
    needs : str, default="sklearn"
        A module without which it is left out.
    n_seeds : int, default=5
        Most seeds, for those that are slow and far behind.
    """

    settings: str
    make: Callable[[int, int], Any]
    ladder: tuple[int, ...] = (1,)
    needs: str = "sklearn"
    n_seeds: int = 5

    @property
    def is_missing(self) -> bool:
        """Whether the library is not installed."""
        return find_spec(self.needs) is None


DISTRIBUTIONS = {
    "sksoftmax": "sksoftmax",
    "numba": "numba",
    "sklearn": "scikit-learn",
    "torch": "torch",
}
"""Distributions by the module that shows that they are installed."""


def versions() -> dict[str, str]:
    """Return the versions of the libraries that are installed."""
    return {d: version(d) for module, d in DISTRIBUTIONS.items() if find_spec(module)}


def ours(ladder: tuple[int, ...], **more: Any) -> dict[str, Contestant]:
    """Return SoftmaxClassifier on both backends for the CPU, with defaults but for `more`."""

    def maker(backend: str) -> Callable[[int, int], Any]:
        return lambda epochs, seed: SoftmaxClassifier(
            max_iter=epochs, tol=None, random_state=seed, backend=backend, **more
        )

    settings = ", ".join(f"{name}={value}" for name, value in more.items()) or "defaults"
    return {
        f"{OURS}, Numba": Contestant(settings, maker("numba"), ladder, needs="numba"),
        f"{OURS}, NumPy": Contestant(settings, maker("numpy"), ladder),
    }


def minibatch_peers(ladder: tuple[int, ...]) -> dict[str, Contestant]:
    """Return the peers that train by minibatches of dense rows."""

    def network(epochs: int, seed: int) -> MLPClassifier:
        # Without a hidden layer it is softmax regression; here it never stops by itself.
        return MLPClassifier(
            (),
            learning_rate_init=3e-3,
            batch_size=BATCH,
            max_iter=epochs,
            n_iter_no_change=10**6,
            random_state=seed,
        )

    def layer(epochs: int, seed: int) -> Any:
        from benchmarks.peers.torch_loop import LinearAdam

        return LinearAdam(epochs, seed, 3e-3, BATCH)

    def textbook(epochs: int, seed: int) -> Any:
        from benchmarks.peers.numpy_loop import TextbookLoop

        return TextbookLoop(epochs, 0.2, BATCH)

    return {
        "MLPClassifier(()), Adam": Contestant("rate 3e-3, batch 100", network, ladder),
        "torch nn.Linear, Adam": Contestant(
            "rate 3e-3, batch 100", layer, ladder, needs="torch"
        ),
        # It needs more epochs than others, and they are short.
        "textbook loop in NumPy": Contestant(
            "rate 0.2, batch 100", textbook, (*ladder, 2 * ladder[-1])
        ),
    }


def logistic_regression(C: float, **settings: Any) -> Callable[[int, int], Any]:
    """Return a maker of scikit-learn's LogisticRegression, stopped after so many iterations."""
    return lambda iterations, seed: LogisticRegression(
        C=C, max_iter=iterations, tol=1e-12, random_state=seed, **settings
    )


def one_versus_rest(alpha: float) -> Callable[[int, int], Any]:
    """Return a maker of scikit-learn's SGDClassifier, of a model a class."""
    return lambda epochs, seed: SGDClassifier(
        loss="log_loss", alpha=alpha, max_iter=epochs, tol=None, random_state=seed
    )


def on_images() -> dict[str, Contestant]:
    """Return all contestants, for pixels in [0, 1]."""
    return {
        **ours((1, 2, 3, 4, 6, 8)),
        **minibatch_peers((1, 2, 3, 4, 5)),
        "LogisticRegression": Contestant(
            "lbfgs, C=1", logistic_regression(1), (10, 20, 30, 40, 50, 60), n_seeds=1
        ),
        "SGDClassifier": Contestant(
            "alpha 1e-5, a model a class", one_versus_rest(1e-5), (1, 2), n_seeds=1
        ),
    }


def of_many_classes() -> dict[str, Contestant]:
    """Return the contestants of which a thousand classes are asked."""
    return {
        **ours((1, 2, 4, 8)),
        **minibatch_peers((1, 2, 4)),
        "LogisticRegression": Contestant(
            "lbfgs, C = 1 / (1e-4 n)", logistic_regression(0.2), (10, 30), n_seeds=1
        ),
    }


def on_sparse_rows() -> dict[str, Contestant]:
    """Return the contestants whose steps are not as wide as the columns are many.

    Ours leave features as they are, which the guide advises for text, and the others do.
    """
    epochs = (1, 2, 3, 5, 8)
    saga = logistic_regression(0.2, solver="saga")
    return {
        **ours(epochs, standardize=False),
        f"{OURS}, standardised": ours(epochs)[f"{OURS}, NumPy"],
        "LogisticRegression, saga": Contestant("C = 1 / (1e-4 n)", saga, epochs),
        "SGDClassifier": Contestant(
            "alpha 1e-4, a model a class", one_versus_rest(1e-4), epochs
        ),
    }


def that_search() -> dict[str, Contestant]:
    """Return searches over the strength of the penalty, each with estimators that stop."""

    def folds(seed: int) -> StratifiedKFold:
        return StratifiedKFold(5, shuffle=True, random_state=seed)

    def together(backend: str) -> Callable[[int, int], Any]:
        return lambda _, seed: SoftmaxSearchCV(
            SoftmaxClassifier(random_state=seed, backend=backend),
            {"alpha": ALPHAS},
            cv=folds(seed),
        )

    def one_by_one(_: int, seed: int) -> Any:
        clf = SoftmaxClassifier(random_state=seed, backend="numpy")
        return GridSearchCV(clf, {"alpha": ALPHAS}, cv=folds(seed))

    def scaled(_: int, seed: int) -> Any:
        model = make_pipeline(StandardScaler(), LogisticRegression())
        grid = {"logisticregression__C": 1 / (ALPHAS * N_SEARCHED)}
        return GridSearchCV(model, grid, cv=folds(seed))

    def raw(_: int, seed: int) -> Any:
        return GridSearchCV(
            LogisticRegression(), {"C": 1 / (ALPHAS * N_SEARCHED)}, cv=folds(seed)
        )

    return {
        f"{OURS}, SoftmaxSearchCV, Numba": Contestant(
            "defaults", together("numba"), needs="numba"
        ),
        f"{OURS}, SoftmaxSearchCV, NumPy": Contestant("defaults", together("numpy")),
        f"{OURS}, GridSearchCV, NumPy": Contestant("defaults", one_by_one),
        "LogisticRegression, GridSearchCV, scaled": Contestant(
            "StandardScaler, C = 1 / (alpha n)", scaled
        ),
        "LogisticRegression, GridSearchCV": Contestant("C = 1 / (alpha n)", raw),
    }


N_SEARCHED = 1_797 * 4 // 5
"""Rows on which a search over the digits trains, in each of five folds."""


def that_predict() -> dict[str, Contestant]:
    """Return estimators to predict with, however they were trained."""
    chosen = on_images()
    names = (f"{OURS}, NumPy", "LogisticRegression", "MLPClassifier(()), Adam")
    return {name: replace(chosen[name], n_seeds=5) for name in names}
