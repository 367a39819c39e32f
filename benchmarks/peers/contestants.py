"""Who runs, with which settings: ours with its defaults, each peer with a hand-tuned rate.

A contestant is known by a name and made in the process that measures it, so that a library is
imported nowhere else. This module must not know how anything is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksoftmax import SoftmaxClassifier
from sksoftmax.model_selection import SoftmaxSearchCV

BATCH = 100
"""Rows a step of every peer that has batches: the size for which the rates were tuned."""

ALPHAS = np.logspace(-5, 1, 20)
"""Candidates of the grid search, per mean of the loss."""


@dataclass(frozen=True)
class Contestant:
    """An estimator and how to make it.

    `make(epochs, seed, shape)` takes the (n_features, n_classes) of the work for the one
    library that cannot find them out. `ladder` are the epochs of the fits to be timed, and
    `grid` the candidates of a grid search over n rows, which `search` runs. `repeats` bounds
    the seeds of those that are slow and far from the others.
    """

    settings: str
    make: Callable[[int, int, tuple[int, int]], Any]
    ladder: tuple[int, ...] = (1, 3)
    needs: str = "sklearn"
    repeats: int = 5
    grid: Callable[[int], Mapping[str, Any]] = field(default=lambda n_rows: {})
    search: Callable[..., Any] = GridSearchCV

    def missing(self) -> str | None:
        """Name the module that is not installed, or None."""
        return None if find_spec(self.needs) else self.needs


DISTRIBUTIONS = {
    "sksoftmax": "sksoftmax",
    "numba": "numba",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "jax": "jax",
    "skorch": "skorch",
    "sklearnex": "scikit-learn-intelex",
}
"""Distributions by the module that shows that they are installed."""


def versions() -> dict[str, str]:
    """Versions of the libraries that are installed."""
    return {d: version(d) for module, d in DISTRIBUTIONS.items() if find_spec(module)}


def ours(ladder: tuple[int, ...], **more: Any) -> dict[str, Contestant]:
    """Return SoftmaxClassifier with its default parameters, on both backends."""

    def maker(backend: str) -> Callable[..., Any]:
        return lambda epochs, seed, shape: SoftmaxClassifier(
            max_iter=epochs, tol=None, random_state=seed, backend=backend, **more
        )

    settings = ", ".join(f"{name}={value}" for name, value in more.items()) or "defaults"
    return {
        "sksoftmax, numpy": Contestant(settings, maker("numpy"), ladder),
        "sksoftmax, numba": Contestant(settings, maker("numba"), ladder, needs="numba"),
    }


def mlp(solver: str, rate: float, epochs: int, seed: int) -> MLPClassifier:
    """Return an MLP without a hidden layer, which is softmax regression, that never stops."""
    return MLPClassifier(
        (),
        solver=solver,
        learning_rate_init=rate,
        batch_size=BATCH,
        max_iter=epochs,
        n_iter_no_change=10**6,
        random_state=seed,
    )


def intelex_logistic_regression(**settings: Any) -> Any:
    """Return the LogisticRegression of Intel's extension."""
    from sklearnex.linear_model import LogisticRegression

    return LogisticRegression(**settings)


def torch_loop(name: str, epochs: int, seed: int, rate: float) -> Any:
    """Return one of the loops in PyTorch."""
    from benchmarks.peers import torch_loops

    return getattr(torch_loops, name)(epochs, seed, rate, BATCH)


def skorch_classifier(epochs: int, seed: int, rate: float, shape: tuple[int, int]) -> Any:
    """Return skorch's classifier."""
    from benchmarks.peers import torch_loops

    return torch_loops.skorch_classifier(epochs, seed, rate, BATCH, shape)


def jax_loop(epochs: int, seed: int, rate: float) -> Any:
    """Return the loop in JAX."""
    from benchmarks.peers.jax_loop import JaxLoop

    return JaxLoop(epochs, seed, rate, BATCH)


def textbook_loop(epochs: int, rate: float) -> Any:
    """Return the loop in NumPy."""
    from benchmarks.peers.numpy_loop import TextbookLoop

    return TextbookLoop(epochs, rate, BATCH)


def minibatch_peers(ladder: tuple[int, ...]) -> dict[str, Contestant]:
    """Return the peers that train by minibatches of dense rows."""
    return {
        "MLPClassifier(()), Adam": Contestant(
            "rate 3e-3, batch 100", lambda e, s, _: mlp("adam", 3e-3, e, s), ladder
        ),
        "MLPClassifier(()), SGD": Contestant(
            "rate 0.1, momentum 0.9, batch 100", lambda e, s, _: mlp("sgd", 0.1, e, s), ladder
        ),
        "torch nn.Linear, Adam": Contestant(
            "rate 3e-3, batch 100",
            lambda e, s, _: torch_loop("LinearAdam", e, s, 3e-3),
            ladder,
            needs="torch",
        ),
        "torch, gradient by hand": Contestant(
            "rate 0.2, batch 100",
            lambda e, s, _: torch_loop("GradientByHand", e, s, 0.2),
            ladder,
            needs="torch",
        ),
        "skorch nn.Linear, Adam": Contestant(
            "rate 3e-3, batch 100",
            lambda e, s, shape: skorch_classifier(e, s, 3e-3, shape),
            ladder[:3],
            needs="skorch",
            repeats=1,
        ),
        "JAX, scan over batches": Contestant(
            "rate 0.2, batch 100", lambda e, s, _: jax_loop(e, s, 0.2), ladder, needs="jax"
        ),
        "textbook NumPy loop": Contestant(
            "rate 0.2, batch 100",
            lambda e, s, _: textbook_loop(e, 0.2),
            # It needs more epochs than others, and they are short.
            tuple(range(1, 11)) if len(ladder) > 2 else ladder,
        ),
    }


def on_mnist() -> dict[str, Contestant]:
    """Return all contestants, for pixels in [0, 1]."""
    iterations = (10, 20, 30, 40, 50, 60)
    return {
        **ours(tuple(range(1, 9))),
        **minibatch_peers(tuple(range(1, 6))),
        "SGDClassifier": Contestant(
            "alpha 1e-5, one-versus-rest",
            lambda e, s, _: SGDClassifier(
                loss="log_loss", alpha=1e-5, max_iter=e, tol=None, random_state=s
            ),
            (1, 2),
            repeats=1,
        ),
        "LogisticRegression": Contestant(
            "lbfgs, C 1",
            lambda e, s, _: LogisticRegression(C=1, max_iter=e, tol=0),
            iterations,
            repeats=1,
        ),
        "LogisticRegression, intelex": Contestant(
            "lbfgs, C 1",
            lambda e, s, _: intelex_logistic_regression(C=1, max_iter=e, tol=0),
            iterations,
            needs="sklearnex",
            repeats=1,
        ),
    }


def of_many_classes() -> dict[str, Contestant]:
    """Return the contestants of which a thousand classes are asked, all with batches of 100."""
    return {**ours((1, 3), batch_size=BATCH), **minibatch_peers((1, 3))}


def on_sparse_rows() -> dict[str, Contestant]:
    """Return the contestants whose steps are not as wide as the columns are many."""
    epochs = (1, 2, 3, 5, 8)
    return {
        **ours(epochs),
        "SGDClassifier": Contestant(
            "alpha 1e-4, one-versus-rest",
            lambda e, s, _: SGDClassifier(
                loss="log_loss", alpha=1e-4, max_iter=e, tol=None, random_state=s
            ),
            epochs,
        ),
        "LogisticRegression, saga": Contestant(
            "C = 1 / (1e-4 n), n = 50,000",
            lambda e, s, _: LogisticRegression(
                C=0.2, solver="saga", max_iter=e, tol=1e-12, random_state=s
            ),
            epochs,
        ),
    }


def in_grid_search() -> dict[str, Contestant]:
    """Return the contestants of the grid search, none of which is told how long to train."""

    def maker(backend: str) -> Callable[..., Any]:
        return lambda epochs, seed, shape: SoftmaxClassifier(random_state=seed, backend=backend)

    def scaled(classifier: Any) -> Any:
        return make_pipeline(StandardScaler(), classifier)

    def grid_of_c(n_rows: int) -> dict[str, Any]:
        return {"logisticregression__C": 1 / (ALPHAS * n_rows)}

    return {
        **{
            f"sksoftmax, {backend}{more}": Contestant(
                "defaults",
                maker(backend),
                needs="numba" if backend == "numba" else "sklearn",
                grid=lambda n: {"alpha": ALPHAS},
                search=search,
            )
            for more, search in (("", GridSearchCV), (", SoftmaxSearchCV", SoftmaxSearchCV))
            for backend in ("numpy", "numba")
        },
        "LogisticRegression": Contestant(
            "StandardScaler, lbfgs, C = 1 / (alpha n)",
            lambda e, s, _: scaled(LogisticRegression()),
            grid=grid_of_c,
        ),
        "LogisticRegression, raw pixels": Contestant(
            "no scaler, lbfgs, C = 1 / (alpha n)",
            lambda e, s, _: LogisticRegression(),
            grid=lambda n: {"C": 1 / (ALPHAS * n)},
        ),
        "LogisticRegression, intelex": Contestant(
            "StandardScaler, lbfgs, C = 1 / (alpha n)",
            lambda e, s, _: scaled(intelex_logistic_regression()),
            needs="sklearnex",
            grid=grid_of_c,
        ),
        "SGDClassifier": Contestant(
            "StandardScaler, one-versus-rest",
            lambda e, s, _: scaled(SGDClassifier(loss="log_loss", random_state=s)),
            repeats=1,
            grid=lambda n: {"sgdclassifier__alpha": ALPHAS},
        ),
        "MLPClassifier(()), Adam": Contestant(
            "StandardScaler, rate 1e-2, batch 100",
            lambda e, s, _: scaled(
                MLPClassifier((), learning_rate_init=1e-2, batch_size=BATCH, random_state=s)
            ),
            repeats=1,
            grid=lambda n: {"mlpclassifier__alpha": ALPHAS},
        ),
    }


def that_predict() -> dict[str, Contestant]:
    """Return estimators to predict with, however they were trained."""
    chosen = on_mnist()
    names = [
        "sksoftmax, numpy",
        "SGDClassifier",
        "LogisticRegression",
        "LogisticRegression, intelex",
        "MLPClassifier(()), Adam",
        "skorch nn.Linear, Adam",
    ]
    return {name: chosen[name] for name in names}
