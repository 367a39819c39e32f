"""The problems on which a backend is compared with the reference.

Each case differs from an ordinary problem in one or two ways that a backend may get wrong. This
module must not know what is compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sksoftmax.backend.contract import Backend
from sksoftmax.backend.problem import Problem, Rule
from sksoftmax.backend.statistics import feature_moments
from sksoftmax.data.arrays import training_dtype


@dataclass(frozen=True)
class Case:
    """One problem of the suite.

    Parameters
    ----------
    name : str
        What the case is about.
    n_rows, n_features, n_classes : int
        Its shape.
    batch_size : int
        Rows a step.
    dtype : str
        Of X.
    n_models : int
        Models trained together.
    weighted : bool
        Whether rows have weights.
    fit_intercept, centred, average : bool
        As in Problem; `centred` says whether it has means.
    l2, l1, momentum : float
        As in Problem and Rule; they differ between models.
    optimizer : str
        The name of the rule.
    nesterov, nearness, least_weight : bool, float, float
        As in Rule.
    consecutive : bool
        Whether rows are taken as they lie.
    csr : bool
        Whether X is CSR, mostly zeros; the reference then has the same rows dense.
    n_threads : int
        As in Problem.
    """

    name: str
    n_rows: int = 70
    n_features: int = 7
    n_classes: int = 4
    batch_size: int = 16
    dtype: str = "float64"
    n_models: int = 1
    weighted: bool = False
    fit_intercept: bool = True
    centred: bool = True
    average: bool = True
    momentum: float = 0.9
    l2: float = 1e-3
    l1: float = 0
    nesterov: bool = False
    optimizer: str = "sgd"
    nearness: float = 0.8
    least_weight: float = 0.0
    consecutive: bool = False
    csr: bool = False
    n_threads: int = 1


AUTOMATIC = "distance-over-gradients"
WITHOUT_NOISE: dict[str, Any] = {"nearness": 1.0, "least_weight": 0.1}

CSR_VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "weights": {"weighted": True},
    "no intercept": {"fit_intercept": False},
    "two classes": {"n_classes": 2},
    "many steps": {"n_rows": 1000, "batch_size": 8, "l2": 1e-2},
    "strong penalty": {"l2": 3},
    "no penalty": {"l2": 0},
    "little momentum": {"momentum": 0.3},
    "no momentum": {"momentum": 0},
    "not averaged": {"average": False},
    "nothing on": {"average": False, "momentum": 0, "l2": 0},
    "one batch": {"batch_size": 70},
    "int16": {"dtype": "int16"},
    "l1": {"l1": 3e-2},
    "l1 alone": {"l1": 3e-2, "l2": 0, "momentum": 0},
    "elastic net": {"l1": 3e-2, "momentum": 0},
    "elastic net, not averaged": {"l1": 3e-2, "momentum": 0, "average": False},
    "nesterov": {"nesterov": True},
    "adam": {"optimizer": "adam"},
    "adam, l1": {"optimizer": "adam", "l1": 3e-2},
    "several models": {"n_models": 3, "weighted": True},
    "automatic": {"optimizer": AUTOMATIC, "centred": True},
    "automatic, weights": {"optimizer": AUTOMATIC, "centred": True, "weighted": True},
    "automatic, not centred": {"optimizer": AUTOMATIC},
    "automatic, no intercept": {"optimizer": AUTOMATIC, "fit_intercept": False},
    "automatic, two classes": {"optimizer": AUTOMATIC, "centred": True, "n_classes": 2},
    "automatic, many steps": {
        "optimizer": AUTOMATIC, "centred": True, "n_rows": 1000, "batch_size": 8, "l2": 1e-2,
    },
    "automatic, strong penalty": {"optimizer": AUTOMATIC, "centred": True, "l2": 3},
    "automatic, no penalty": {"optimizer": AUTOMATIC, "centred": True, "l2": 0},
    "automatic, one batch": {
        "optimizer": AUTOMATIC, "centred": True, "batch_size": 70, **WITHOUT_NOISE,
    },
    "automatic, int16": {"optimizer": AUTOMATIC, "centred": True, "dtype": "int16"},
    "automatic, l1": {"optimizer": AUTOMATIC, "centred": True, "l1": 3e-2},
    "automatic, several models": {"optimizer": AUTOMATIC, "n_models": 3, "centred": True},
}  # fmt: skip
"""Sparse rows in every combination for which a backend may have another way to take steps."""

STACK_VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "weights": {"weighted": True},
    "weights, one batch": {"weighted": True, "batch_size": 70, "average": False},
    "not centred": {"centred": False},
    "no intercept": {"centred": False, "fit_intercept": False},
    "nothing on": {"average": False, "momentum": 0, "l2": 0},
    "two classes": {"n_classes": 2},
    "rows as they lie": {"consecutive": True},
    "nesterov": {"nesterov": True},
    "l1": {"l1": 3e-2},
    "adam": {"optimizer": "adam"},
    "int16": {"dtype": "int16"},
    "float16": {"dtype": "float16"},
    "automatic": {"optimizer": AUTOMATIC},
    "automatic, weights": {"optimizer": AUTOMATIC, "weighted": True},
    "automatic, not centred": {"optimizer": AUTOMATIC, "centred": False},
    "automatic, one batch": {"optimizer": AUTOMATIC, "batch_size": 70, **WITHOUT_NOISE},
    "automatic, l1": {"optimizer": AUTOMATIC, "l1": 3e-2},
}
"""Several models over the same rows, as a search trains them."""

DENSE_VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "rows as they lie": {"consecutive": True},
    "not centred": {"centred": False},
    "no intercept": {"centred": False, "fit_intercept": False},
    "weights": {"weighted": True},
    "two classes": {"n_classes": 2},
    "one batch": {"batch_size": 70, **WITHOUT_NOISE},
    "one column": {"n_features": 1},
    "one row": {"n_rows": 1, "batch_size": 1},
    "rows of one": {"n_rows": 20, "batch_size": 1},
    "1000 classes": {"n_rows": 500, "n_classes": 1000, "batch_size": 300},
    "many parameters": {
        "n_rows": 150, "n_features": 140, "n_classes": 500, "batch_size": 40,
    },
    "wide rows": {"n_rows": 300, "n_features": 784, "n_classes": 10, "batch_size": 256},
    "threads": {
        "n_rows": 600, "n_features": 784, "n_classes": 10, "batch_size": 256, "n_threads": 3,
    },
    "l1": {"l1": 3e-2},
    "no penalty": {"l2": 0},
    "uint8": {"dtype": "uint8"},
    "float16": {"dtype": "float16"},
    "many parameters, float16": {
        "n_rows": 150, "n_features": 140, "n_classes": 500, "batch_size": 40,
        "dtype": "float16",
    },
    "several models": {"n_models": 3},
    "several weighted models": {"n_models": 3, "weighted": True},
}  # fmt: skip
"""Dense rows by the rule that finds its own steps."""

CASES = (
    Case("defaults with a short last batch"),
    Case("textbook", momentum=0, average=False, l2=0, fit_intercept=False, centred=False),
    Case("rows as they lie", centred=False, consecutive=True),
    Case("rows as they lie, centred", consecutive=True),
    Case("not centred", centred=False),
    Case("no intercept", centred=False, fit_intercept=False),
    Case("weights", weighted=True),
    Case("two classes", n_classes=2),
    Case("one batch", batch_size=70, average=False),
    Case("one column", n_features=1),
    Case("one row", n_rows=1, batch_size=1),
    Case("rows of one", n_rows=20, batch_size=1),
    Case("1000 classes", n_rows=500, n_classes=1000, batch_size=300),
    Case("many parameters", n_rows=150, n_features=140, n_classes=500, batch_size=40),
    Case("wide rows", n_rows=300, n_features=784, n_classes=10, batch_size=256),
    Case("threads", n_rows=600, n_features=784, n_classes=10, batch_size=256, n_threads=3),
    *(
        Case(f"{n} columns", n_rows=2 * n + 3, n_features=n, n_classes=3, batch_size=n)
        for n in range(2, 20)
    ),
    Case("nesterov", nesterov=True),
    Case("adam", optimizer="adam"),
    Case("adam, weights", optimizer="adam", weighted=True),
    Case("l1", l1=3e-2),
    Case("l1 without momentum", l1=3e-2, momentum=0),
    Case("l1, nesterov", l1=3e-2, nesterov=True),
    Case("l1, adam", l1=3e-2, optimizer="adam"),
    *(
        Case(f"csr, {name}", **{"n_features": 30, "csr": True, "centred": False} | changes)
        for name, changes in CSR_VARIANTS.items()
    ),
    *(
        Case(f"automatic, {name}", optimizer=AUTOMATIC, **changes)
        for name, changes in DENSE_VARIANTS.items()
    ),
    Case("uint8", dtype="uint8"),
    Case("int16", dtype="int16"),
    Case("float16", dtype="float16"),
    *(
        Case(f"several models, {name}", n_models=3, **changes)
        for name, changes in STACK_VARIANTS.items()
    ),
)


def all_cases() -> Iterator[Case]:
    """Yield every case, and once more in float32 where it is one in float64."""
    for case in CASES:
        yield case
        if case.dtype == "float64":
            yield replace(case, name=f"{case.name}, float32", dtype="float32")


def make_problem(backend: Backend, case: Case, rng: np.random.Generator) -> Problem:
    """Return the problem of a case, with X on the host."""
    X = rng.standard_normal((case.n_rows, case.n_features)) + 3
    if case.csr:
        X *= rng.random(X.shape) < np.linspace(0.02, 0.8, case.n_features)
        X[:, -1] = 0
    X = (X * (10 if case.dtype.startswith(("u", "i")) else 1)).clip(0).astype(case.dtype)
    X = sparse.csr_array(X) if case.csr else X
    y = rng.integers(case.n_classes, size=case.n_rows).astype(np.int32)
    dtype = training_dtype(X.dtype)
    weights = None
    if case.weighted:
        weights = rng.exponential(size=case.n_rows)
        weights = (weights / weights.mean()).astype(dtype)
    moments = feature_moments(backend, backend.place(X), None, None)
    spread = 1 + np.arange(case.n_models) / 10
    centre = moments.mean if case.centred else None
    return Problem(
        X=X,
        y=y,
        weights=weights,
        n_classes=case.n_classes,
        dtype=dtype,
        batch_size=min(case.batch_size, case.n_rows),
        l2=case.l2 * spread,
        l1=case.l1 * spread,
        penalty_share=0.9,
        average=case.average,
        fit_intercept=case.fit_intercept,
        means=centre,
        scales=moments.scale,
        step_scales=moments.step_scale(centre),
        intercept_scale=0.7 if case.optimizer == AUTOMATIC else 1.0,
        curvature=np.full(case.n_models, 2.0) if case.optimizer == AUTOMATIC else None,
        rule=Rule(
            name=case.optimizer,
            momentum=case.momentum / spread,
            nesterov=case.nesterov,
            nearness=case.nearness,
            least_weight=case.least_weight,
            epsilon=1e-3 if case.optimizer == "adam" else 1e-8,
        ),
        n_threads=case.n_threads,
    )


def epoch_arguments(
    case: Case, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return an order of the rows of a case, and the step of each batch."""
    order = np.arange(case.n_rows) if case.consecutive else rng.permutation(case.n_rows)
    n_batches = -(-case.n_rows // case.batch_size)
    least, most = (0.5, 1) if case.optimizer == AUTOMATIC else (0.01, 0.05)
    return order, rng.uniform(least, most, (case.n_models, n_batches))
