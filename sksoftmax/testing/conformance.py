"""Whether a backend does, step by step, what the reference does.

Every case trains the backend beside the reference, on the same rows in the same orders, and
compares all that comes back. This module must not know what is special about a case.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.contract import Backend, Trainer
from sksoftmax.backend.problem import Problem
from sksoftmax.backend.state import State
from sksoftmax.backend.statistics import computing_namespace
from sksoftmax.data.rows import is_csr
from sksoftmax.testing.cases import Case, all_cases, epoch_arguments, make_problem
from sksoftmax.testing.reference import Reference, in_float64

N_EPOCHS = 3
TOLERANCE = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 1e-4}
"""Largest difference allowed, as a share of the largest value of the reference's array."""

DIFFERENCE = 1e-4
"""How far apart, twice, parameters are between which derivatives are taken by differences."""


MOST_WEIGHTS = 500
"""Weights of a class's row times classes up to which second derivatives by all are compared."""


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
    >>> from sksoftmax.testing import CaseReport
    >>> CaseReport("one row, float32", difference=0.0)
    CaseReport(name='one row, float32', difference=0.0, refused='')
    """

    name: str
    difference: float
    refused: str = ""


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
    reports = [_check_case(backend, case) for case in all_cases()]
    if reports[0].refused:
        raise AssertionError(f"{reports[0].name}: refused: {reports[0].refused}")
    return reports


def _check_case(backend: Backend, case: Case) -> CaseReport:
    rng = np.random.default_rng(0)
    problem = make_problem(backend, case, rng)
    placed = replace(problem, X=backend.place(problem.X))
    refused = backend.supports(placed)
    if refused is not None:
        return CaseReport(case.name, np.nan, refused)
    exact = in_float64(problem)
    shape = (case.n_models, case.n_classes, case.n_features)
    trainer = backend.trainer(placed, State.zeros(*shape, problem.dtype))
    reference: Trainer = Reference(exact, State.zeros(*shape, exact.dtype))
    worst, noted = 0.0, []
    for epoch in range(N_EPOCHS):
        for _ in range(2):  # a trainer may be asked for several runs
            order, step_sizes = epoch_arguments(case, rng)
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
        reference = Reference(exact, exact_state)
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

    They are in float64, and differences exact enough, where the device has that; in float32 at
    parameters of that dtype.
    """
    (trainer, placed), (reference, exact) = actual, expected
    X, y = placed.X, placed.y
    rng = np.random.default_rng(0)
    shape = (placed.n_models, placed.n_classes, placed.n_features + 1)
    scales = np.append(placed.scales, 1.0)
    parameters, change = rng.standard_normal((2, *shape)) / scales / np.sqrt(shape[2])
    before = parameters.copy()
    # Where there are many parameters, the contract asks for intercepts alone.
    asked = [True] if np.prod(shape[1:]) > MOST_WEIGHTS else [True, False]
    loss, gradient = trainer.loss_gradient(parameters, X, y, weights)
    hessians = [trainer.hessian(parameters, X, weights, only_intercepts=o) for o in asked]
    true = reference.loss_gradient(before, exact.X, y, weights)
    true_hessians = [
        reference.hessian(before, exact.X, weights, only_intercepts=only) for only in asked
    ]
    names = [f"Hessian, only_intercepts={only}" for only in asked]
    got = {"loss": loss, "gradient": gradient, "parameters": parameters}
    got |= dict(zip(names, hessians, strict=True))
    wanted = dict(zip(got, (*true, before, *true_hessians), strict=True))
    roughly = replace(exact, dtype=np.dtype(np.float32))
    tolerated = exact if has_float64 else roughly
    worst = _compare(f"{name}, derivatives", got, wanted, tolerated)
    if placed.dtype == np.float32 and not is_csr(X):
        rough = trainer.loss_gradient(parameters.astype(np.float32), X, y, weights)
        got, wanted = (dict(zip(("loss", "gradient"), p, strict=True)) for p in (rough, true))
        worst = max(worst, _compare(f"{name}, derivatives in float32", got, wanted, roughly))
    if not has_float64:
        return worst

    def difference(change: NDArray[np.float64]) -> tuple[NDArray[Any], ...]:
        after, before = (
            trainer.loss_gradient(parameters + step * change, X, y, weights)
            for step in (DIFFERENCE, -DIFFERENCE)
        )
        return tuple((a - b) / (2 * DIFFERENCE) for a, b in zip(after, before, strict=True))

    slopes = {"gradient": (gradient * change).sum(axis=(1, 2))}
    differences = {"gradient": difference(change)[0]}
    for only, key, hessian in zip(asked, names, hessians, strict=True):
        columns = slice(-1 if only else 0, None)
        moved = np.zeros(shape)
        moved[..., columns] = change[..., columns]
        along = moved[..., columns].reshape(len(change), -1)
        slopes[key] = np.einsum("mkl,ml->mk", hessian, along)
        differences[key] = difference(moved)[1][..., columns].reshape(along.shape)
    _compare(f"{name}, differences", slopes, differences, roughly)
    return worst


def _recentred(problem: Problem, n_times: int) -> Problem:
    """The problem with means a little elsewhere, if it has any."""
    if problem.means is None:
        return problem
    return replace(problem, means=problem.means * (1 + n_times / 100))


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
