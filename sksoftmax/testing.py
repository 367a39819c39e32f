"""The conformance suite: whether a backend does, step by step, what the reference does.

Anybody's backend can run it. Every case trains the backend beside ``ArrayTrainer`` over
NumPy in float64, each model by itself and rows dense, on the same rows in the same orders,
and compares all that comes back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sksoftmax.backend.array_trainer import ArrayTrainer
from sksoftmax.backend.contract import Backend, Trainer
from sksoftmax.backend.problem import Problem, Rule, State
from sksoftmax.backend.statistics import computing_namespace, feature_moments
from sksoftmax.data.arrays import training_dtype
from sksoftmax.data.rows import is_csr

N_EPOCHS = 3
TOLERANCE = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 1e-4}
"""Largest difference allowed, as a share of the largest value of the reference's array."""


DIFFERENCE = 1e-4
"""How far apart, twice, parameters are between which derivatives are taken by differences."""


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


@dataclass(frozen=True)
class CaseReport:
    """The outcome of one case.

    Parameters
    ----------
    name : str
        The case and its dtype.
    difference : float
        Largest relative difference over all arrays; nan when refused.
    refused : str
        Why the backend does not support the case; empty when it does.

    Examples
    --------
    >>> from sksoftmax import get_backend
    >>> from sksoftmax.testing import check_backend
    >>> check_backend(get_backend("numpy"))[0].name
    'defaults with a short last batch'
    """

    name: str
    difference: float
    refused: str = ""


AUTOMATIC = "distance-over-gradients"
OF_A_MODEL = {Problem: ("l2", "l1", "curvature"), State: ("parameters", "average")}
"""Arrays of a problem and of a state that have an axis of models."""

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
    "1000 classes": {"n_rows": 1100, "n_classes": 1000, "batch_size": 300},
    "many parameters": {
        "n_rows": 150, "n_features": 140, "n_classes": 500, "batch_size": 40,
    },
    "wide rows": {"n_rows": 300, "n_features": 784, "n_classes": 10, "batch_size": 256},
    "threads": {
        "n_rows": 1400, "n_features": 784, "n_classes": 10, "batch_size": 256, "n_threads": 3,
    },
    "l1": {"l1": 3e-2},
    "no penalty": {"l2": 0},
    "uint8": {"dtype": "uint8"},
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
    Case("1000 classes", n_rows=1100, n_classes=1000, batch_size=300),
    Case("many parameters", n_rows=150, n_features=140, n_classes=500, batch_size=40),
    Case("wide rows", n_rows=300, n_features=784, n_classes=10, batch_size=256),
    Case("threads", n_rows=1400, n_features=784, n_classes=10, batch_size=256, n_threads=3),
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
    *(
        Case(f"several models, {name}", n_models=3, **changes)
        for name, changes in STACK_VARIANTS.items()
    ),
)


def check_backend(backend: Backend) -> list[CaseReport]:
    """Check that a backend follows the reference in every case that it supports.

    Parameters
    ----------
    backend : Backend
        The backend to check.

    Returns
    -------
    list of CaseReport
        One for each case and dtype, refused ones included.

    Raises
    ------
    AssertionError
        If any array differs by more than 1e-10 (float64) or 1e-4 (float32) of the largest
        value of the reference's, or the very first case is refused.

    Examples
    --------
    >>> from sksoftmax import get_backend
    >>> from sksoftmax.testing import check_backend
    >>> reports = check_backend(get_backend("numpy"))
    >>> max(report.difference for report in reports) < 1e-4
    True
    """
    reports = [_check_case(backend, case) for case in _all_cases()]
    if reports[0].refused:
        raise AssertionError(f"{reports[0].name}: refused: {reports[0].refused}")
    return reports


def _all_cases() -> Iterator[Case]:
    for case in CASES:
        yield case
        if case.dtype == "float64":
            yield replace(case, name=f"{case.name}, float32", dtype="float32")


def _check_case(backend: Backend, case: Case) -> CaseReport:
    rng = np.random.default_rng(0)
    problem = _make_problem(backend, case, rng)
    placed = replace(problem, X=backend.place(problem.X))
    refused = backend.supports(placed)
    if refused is not None:
        return CaseReport(case.name, np.nan, refused)
    exact = _in_float64(problem)
    shape = (case.n_models, case.n_classes, case.n_features)
    trainer = backend.trainer(placed, State.zeros(*shape, problem.dtype))
    reference: Trainer = _OneByOne(exact, State.zeros(*shape, exact.dtype))
    worst, noted = 0.0, []
    for epoch in range(N_EPOCHS):
        for _ in range(2):  # a trainer may be asked for several runs
            order, step_sizes = _epoch_arguments(case, rng)
            penalties = {"penalty": trainer.penalty()}, {"penalty": reference.penalty()}
            actual = {"loss": trainer.run_epoch(order, step_sizes), **penalties[0]}
            expected = {"loss": reference.run_epoch(order, step_sizes), **penalties[1]}
            noted.append((trainer.state(), deepcopy(trainer.state())))
        actual |= _named("norms()", trainer.norms())
        expected |= _named("norms()", reference.norms())
        state, exact_state = trainer.state(), reference.state()
        actual |= _arrays(state)
        expected |= _arrays(exact_state)
        worst = max(worst, _compare(f"{case.name}, epoch {epoch}", actual, expected, problem))
        noted.append((state, deepcopy(state)))
        # Another trainer resumes, with features centred elsewhere, as in a stream.
        placed, exact = _recentred(placed, 1 + epoch), _recentred(exact, 1 + epoch)
        trainer = backend.trainer(placed, state)
        reference = _OneByOne(exact, exact_state)
    for state, copy in noted:
        _compare(f"{case.name}: an earlier state", _arrays(state), _arrays(copy), problem)
    weights = rng.exponential(size=case.n_rows).astype(problem.dtype)
    wide = computing_namespace(backend, placed.X).zeros(1, dtype=np.float64)
    has_float64 = backend.to_numpy(wide).dtype == np.float64
    for w in (None, weights):
        measured = trainer.evaluate(placed.X, problem.y, w)
        true = reference.evaluate(exact.X, problem.y, w)
        actual, expected = (
            dict(zip(("loss", "accuracy"), pair, strict=True)) for pair in (measured, true)
        )
        worst = max(worst, _compare(f"{case.name}, evaluate", actual, expected, problem))
        sides = (trainer, placed), (reference, exact)
        worst = max(worst, _check_derivatives(case.name, *sides, w, has_float64))
    return CaseReport(case.name, worst)


def _check_derivatives(
    name: str,
    actual: tuple[Trainer, Problem],
    expected: tuple[Trainer, Problem],
    weights: NDArray[Any] | None,
    has_float64: bool,
) -> float:
    """Compare derivatives at drawn parameters with the reference's and with differences.

    They are in float64, and differences exact enough, where the device has that.
    """
    (trainer, placed), (reference, exact) = actual, expected
    X, y = placed.X, placed.y
    rng = np.random.default_rng(0)
    shape = (placed.n_models, placed.n_classes, placed.n_features + 1)
    scales = np.append(placed.scales, 1.0)
    parameters, change = rng.standard_normal((2, *shape)) / scales / np.sqrt(shape[2])
    before = parameters.copy()
    loss, gradient = trainer.loss_gradient(parameters, X, y, weights)
    hessian = trainer.intercept_hessian(parameters, X, weights)
    true = reference.loss_gradient(before, exact.X, y, weights)
    true_hessian = reference.intercept_hessian(before, exact.X, weights)
    got = {"loss": loss, "gradient": gradient, "Hessian": hessian, "parameters": parameters}
    wanted = dict(zip(got, (*true, true_hessian, before), strict=True))
    roughly = replace(exact, dtype=np.dtype(np.float32))
    tolerated = exact if has_float64 else roughly
    worst = _compare(f"{name}, derivatives", got, wanted, tolerated)
    if not has_float64:
        return worst

    def difference(change: NDArray[np.float64]) -> tuple[NDArray[Any], ...]:
        after, before = (
            trainer.loss_gradient(parameters + step * change, X, y, weights)
            for step in (DIFFERENCE, -DIFFERENCE)
        )
        return tuple((a - b) / (2 * DIFFERENCE) for a, b in zip(after, before, strict=True))

    of_intercepts = change * (np.arange(shape[2]) == shape[2] - 1)
    slopes = {
        "gradient": (gradient * change).sum(axis=(1, 2)),
        "Hessian": np.einsum("mkl,ml->mk", hessian, change[..., -1]),
    }
    differences = {
        "gradient": difference(change)[0],
        "Hessian": difference(of_intercepts)[1][..., -1],
    }
    _compare(f"{name}, differences", slopes, differences, roughly)
    return worst


class _OneByOne:
    """The reference: a trainer for each model, which knows nothing of the others."""

    def __init__(self, problem: Problem, state: State):
        self.trainers = [
            ArrayTrainer(_only(problem, model), _only(state, model))
            for model in range(problem.n_models)
        ]

    def run_epoch(
        self, order: NDArray[np.int64], step_sizes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        pairs = zip(self.trainers, step_sizes, strict=True)
        return np.concatenate([t.run_epoch(order, steps[None]) for t, steps in pairs])

    def penalty(self) -> NDArray[np.float64]:
        return np.concatenate([trainer.penalty() for trainer in self.trainers])

    def evaluate(
        self, X: Any, y: NDArray[np.int32], weights: NDArray[Any] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        loss, accuracy = zip(*(t.evaluate(X, y, weights) for t in self.trainers), strict=True)
        return np.concatenate(loss), np.concatenate(accuracy)

    def loss_gradient(
        self,
        parameters: NDArray[np.float64],
        X: Any,
        y: NDArray[np.int32],
        weights: NDArray[Any] | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        measured = [
            trainer.loss_gradient(parameters[[model]], X, y, weights)
            for model, trainer in enumerate(self.trainers)
        ]
        loss, gradient = zip(*measured, strict=True)
        return np.concatenate(loss), np.concatenate(gradient)

    def intercept_hessian(
        self, parameters: NDArray[np.float64], X: Any, weights: NDArray[Any] | None
    ) -> NDArray[np.float64]:
        return np.concatenate(
            [
                trainer.intercept_hessian(parameters[[model]], X, weights)
                for model, trainer in enumerate(self.trainers)
            ]
        )

    def state(self) -> State:
        states = [trainer.state() for trainer in self.trainers]
        return State(
            parameters=np.concatenate([state.parameters for state in states]),
            average=np.concatenate([state.average for state in states]),
            memory={
                name: np.concatenate([state.memory[name] for state in states])
                for name in states[0].memory
            },
            means=states[0].means,
            n_steps=states[0].n_steps,
            norms=self.norms(),
        )

    def norms(self) -> dict[str, NDArray[np.float64]]:
        of_models = [trainer.norms() for trainer in self.trainers]
        return {
            name: np.concatenate([norms[name] for norms in of_models]) for name in of_models[0]
        }


def _only(several: Any, model: int) -> Any:
    """A problem or a state of several models, cut down to one of them."""
    one = slice(model, model + 1)
    values = {f.name: getattr(several, f.name) for f in fields(several)}
    changes: dict[str, Any] = {
        name: values[name][one]
        for name in OF_A_MODEL[type(several)]
        if values[name] is not None
    }
    if isinstance(several, Problem):
        changes["rule"] = replace(several.rule, momentum=several.rule.momentum[one])
    for name in {"memory", "norms"} & values.keys():
        changes[name] = {key: array[one] for key, array in values[name].items()}
    return replace(several, **changes)


def _recentred(problem: Problem, n_times: int) -> Problem:
    """The problem with means a little elsewhere, if it has any."""
    if problem.means is None:
        return problem
    return replace(problem, means=problem.means * (1 + n_times / 100))


def _make_problem(backend: Backend, case: Case, rng: np.random.Generator) -> Problem:
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


def _in_float64(problem: Problem) -> Problem:
    """The same numbers, dense, to be computed with in float64."""
    weights = None if problem.weights is None else problem.weights.astype(np.float64)
    X = problem.X.toarray() if is_csr(problem.X) else problem.X
    return replace(problem, X=X, weights=weights, dtype=np.dtype(np.float64))


def _epoch_arguments(
    case: Case, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    order = np.arange(case.n_rows) if case.consecutive else rng.permutation(case.n_rows)
    n_batches = -(-case.n_rows // case.batch_size)
    least, most = (0.5, 1) if case.optimizer == AUTOMATIC else (0.01, 0.05)
    return order, rng.uniform(least, most, (case.n_models, n_batches))


def _arrays(state: State) -> dict[str, NDArray[Any]]:
    """Everything in a state that can be compared."""
    return {
        "parameters": state.parameters,
        "average": state.average,
        "means": state.means,
        "steps": np.array(state.n_steps),
        **_named("memory", state.memory),
        **_named("norm", state.norms),
    }


def _named(kind: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Arrays by names that also say what they are."""
    return {f"{kind} {name!r}": array for name, array in arrays.items()}


def _compare(
    where: str,
    actual: dict[str, NDArray[Any]],
    expected: dict[str, NDArray[Any]],
    problem: Problem,
) -> float:
    """Raise where arrays differ; return the largest relative difference."""
    if actual.keys() != expected.keys():
        raise AssertionError(f"{where}: got {sorted(actual)}, expected {sorted(expected)}")
    tolerance = TOLERANCE[problem.dtype]
    worst = 0.0
    for name, array in expected.items():
        got = np.asarray(actual[name])
        if got.shape != array.shape:
            raise AssertionError(f"{where}: {name} has shape {got.shape}, not {array.shape}")
        largest = np.abs(array).max()
        difference = np.abs(got - array).max() / (largest if largest > 0 else 1)
        if not difference <= tolerance:
            raise AssertionError(
                f"{where}: {name} is off by {difference:.1e} > {tolerance:.0e}"
            )
        worst = max(worst, float(difference))
    return worst
