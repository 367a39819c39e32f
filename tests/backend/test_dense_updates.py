"""Dense updates over sparse rows: the steps of the reference, taken where they are the shorter.

Trainers are compared with ``ArrayTrainer`` over dense rows; which of them a backend takes is a
matter of counts, and of what a model starts from.
"""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sparse_problems import own_steps, own_steps_match_dense_ones

from sksoftmax import SoftmaxClassifier, get_backend, list_backends
from sksoftmax.backend.state import State

BACKENDS = [b.name for b in list_backends() if b.available and b.name in ("numpy", "numba")]


def rows_of_two_kinds(n_rows=600, n_features=20):
    """Rare and frequent features, an empty one, a constant one and one that is never 0."""
    rng = np.random.default_rng(0)
    share = np.geomspace(0.01, 0.9, n_features)
    dense = rng.standard_normal((n_rows, n_features)) * (
        rng.random((n_rows, n_features)) < share
    )
    dense[:, 5], dense[:, 6], dense[:, 7] = 0, 7, 30 + rng.standard_normal(n_rows)
    return dense


def of_two_classes(problem):
    return replace(problem, y=np.minimum(problem.y, 1), n_classes=2)


def trainers_and_classes():
    pairs = [(get_backend(name).dense_update_trainer, 2) for name in BACKENDS]
    return [*pairs, (get_backend("numpy").dense_update_trainer, 3)]


@pytest.mark.parametrize(("make", "n_classes"), trainers_and_classes())
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"l2": np.zeros(1)},
        {"l2": np.full(1, 300.0), "batch_size": 16},
        {"fit_intercept": False, "means": None},
        {"fit_intercept": False},
        {"weights": np.linspace(0, 2, 600)},
        {"batch_size": 64},
    ],
)
@pytest.mark.parametrize("is_new", [True, False])
def test_steps_are_those_of_dense_rows(make, n_classes, changes, is_new):
    dense = rows_of_two_kinds()
    problem = own_steps(dense, **changes)
    problem = of_two_classes(problem) if n_classes == 2 else problem
    start = State.zeros(1, n_classes, 20, problem.dtype)
    centred = start if problem.means is None else replace(start, means=problem.means)
    if not is_new:
        rng = np.random.default_rng(1)
        weights = rng.standard_normal((2, 1, n_classes, 21))
        weights[..., [5, 6]] = 0
        if not problem.fit_intercept:
            weights[..., -1] = 0
            start = centred
        if n_classes == 2:
            weights[:, :, 0] = -weights[:, :, 1]
        start = replace(start, parameters=weights[0], average=weights[1])
    assert make.pays(problem, start)
    own_steps_match_dense_ones(make, problem, start, 1e-10)


def test_two_classes_that_are_not_opposite_are_two_columns():
    problem = of_two_classes(own_steps(rows_of_two_kinds()))
    start = State.zeros(1, 2, 20, problem.dtype)
    weights = np.random.default_rng(1).standard_normal((1, 2, 21))
    weights[..., [5, 6]] = 0
    start = replace(start, parameters=weights, average=weights / 2)
    own_steps_match_dense_ones(get_backend("numpy").dense_update_trainer, problem, start, 1e-10)


@pytest.mark.parametrize(("make", "n_classes"), trainers_and_classes())
@pytest.mark.parametrize("share", [1, 0.99])
def test_columns_far_from_zero_are_centred_without_loss(make, n_classes, share):
    dense = rows_of_two_kinds()
    rng = np.random.default_rng(0)
    far = rng.standard_normal((600, 2)) + np.array([1000, -1000])
    dense[:, :2] = np.float32(far * (rng.random((600, 2)) < share))
    for dtype, tolerance in (("float64", 1e-10), ("float32", 1e-4)):
        problem = own_steps(dense, dtype)
        problem = of_two_classes(problem) if n_classes == 2 else problem
        start = State.zeros(1, n_classes, 20, problem.dtype)
        own_steps_match_dense_ones(make, problem, start, tolerance)


@pytest.mark.parametrize(("make", "n_classes"), trainers_and_classes())
def test_steps_resume_bit_for_bit(make, n_classes):
    problem = own_steps(rows_of_two_kinds(200), "float32")
    problem = of_two_classes(problem) if n_classes == 2 else problem
    order, factors = np.random.default_rng(0).permutation(200), np.ones((1, 50))
    whole = make(problem, State.zeros(1, n_classes, 20, problem.dtype))
    whole.run_epoch(order, factors)
    resumed = make(problem, whole.state())
    assert_array_equal(resumed.run_epoch(order, factors), whole.run_epoch(order, factors))
    for name in ("parameters", "average"):
        assert_array_equal(getattr(resumed.state(), name), getattr(whole.state(), name))
    for name, norm in whole.state().norms.items():
        assert_array_equal(resumed.state().norms[name], norm)


def test_rows_that_are_too_many_to_keep_are_scaled_as_they_are_gathered(monkeypatch):
    make = get_backend("numpy").dense_update_trainer
    problem, order = own_steps(rows_of_two_kinds()), np.random.default_rng(0).permutation(600)
    states = []
    for n_kept in (10**6, 0):
        monkeypatch.setattr("sksoftmax_numpy.dense_update_trainer.KEPT_ELEMENTS", n_kept)
        trainer = make(problem, State.zeros(1, 3, 20, problem.dtype))
        trainer.run_epoch(order, np.ones((1, 150)))
        states.append(trainer.state().average)
    assert_array_equal(*states)


def wide_problem(n_features, n_classes, n_stored, batch_size=4):
    """A problem of 100 rows, each of which stores so many features."""
    rng = np.random.default_rng(0)
    columns = np.argsort(rng.random((100, n_features)), axis=1)[:, :n_stored]
    dense = np.zeros((100, n_features))
    np.put_along_axis(dense, columns, rng.random(columns.shape), axis=1)
    problem = own_steps(dense, batch_size=batch_size)
    return of_two_classes(problem) if n_classes == 2 else problem


@pytest.mark.parametrize(
    ("name", "n_features", "n_classes", "n_stored", "batch_size", "is_dense"),
    [
        ("numpy", 60_000, 2, 5, 4, True),
        ("numpy", 60_000, 3, 5, 4, False),
        ("numpy", 30_000, 3, 1000, 4, True),
        ("numpy", 100_000, 2, 5, 4, False),
        ("numba", 100, 2, 5, 4, True),
        ("numba", 200, 2, 5, 4, False),
        ("numba", 200, 2, 5, 64, True),
        ("numba", 100, 3, 5, 4, False),
        ("numba", 20_000, 2, 5000, 4, False),
    ],
)
def test_choice_is_by_counts(name, n_features, n_classes, n_stored, batch_size, is_dense):
    if name not in BACKENDS:
        pytest.skip(f"{name} is not installed")
    backend = get_backend(name)
    problem = wide_problem(n_features, n_classes, n_stored, batch_size)
    start = State.zeros(1, n_classes, n_features, problem.dtype)
    trainer = backend.trainer(problem, start)
    expected = backend.dense_update_trainer if is_dense else backend.distance_trainer
    assert type(trainer) is expected


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("column", [6, 20])
def test_weights_that_stay_are_for_lazy_updates(column, name):
    backend = get_backend(name)
    problem = of_two_classes(own_steps(rows_of_two_kinds(), fit_intercept=False))
    weights = np.zeros((1, 2, 21))
    weights[0, :, column] = -1, 1
    start = State.zeros(1, 2, 20, problem.dtype)
    start = replace(start, parameters=weights, average=weights)
    assert type(backend.trainer(problem, start)) is backend.distance_trainer
    own_steps_match_dense_ones(backend.trainer, problem, start, 1e-10)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_fit_is_that_of_lazy_updates(name, n_classes):
    dense = rows_of_two_kinds()
    problem = own_steps(dense)
    X, y = sparse.csr_array(dense), np.minimum(problem.y, n_classes - 1)
    lazy = get_backend(name)
    lazy.dense_update_trainer = None
    fitted, expected = (
        SoftmaxClassifier(backend=backend, random_state=0).fit(X, y) for backend in (name, lazy)
    )
    assert fitted.n_iter_ == expected.n_iter_
    assert_allclose(fitted.loss_curve_, expected.loss_curve_, rtol=1e-9)
    assert_allclose(fitted.coef_, expected.coef_, rtol=1e-7, atol=1e-9)
