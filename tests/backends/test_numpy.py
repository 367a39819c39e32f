"""NumPy's trainers beside ArrayTrainer: two classes, and tiles."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sksoftmax import get_backend
from sksoftmax.backend.array_trainer import ArrayTrainer
from sksoftmax.backend.state import State
from sksoftmax.testing.cases import AUTOMATIC, Case, epoch_arguments, make_problem
from sksoftmax_numpy import binary_trainer
from sksoftmax_numpy import trainer as numpy_trainer

NUMPY = get_backend("numpy")
TWO_CLASSES = Case("two classes", n_classes=2, optimizer=AUTOMATIC)


def problem_and_arguments(case):
    rng = np.random.default_rng(0)
    return make_problem(NUMPY, case, rng), *epoch_arguments(case, rng)


def any_state(problem):
    """A state in which no class mirrors the other."""
    zeros = State.zeros(1, problem.n_classes, problem.n_features, problem.dtype)
    rng = np.random.default_rng(1)
    parameters = rng.standard_normal(zeros.parameters.shape).astype(problem.dtype)
    if not problem.fit_intercept:
        parameters[..., -1] = 0
    means = zeros.means if problem.means is None else problem.means
    return replace(zeros, parameters=parameters, average=parameters / 2, means=means)


def assert_same_state(actual, expected, rtol):
    names = "parameters", "average"
    arrays = [(getattr(actual, name), getattr(expected, name)) for name in names]
    arrays += [(actual.memory[name], expected.memory[name]) for name in expected.memory]
    arrays += [(actual.norms[name], expected.norms[name]) for name in expected.norms]
    for ours, theirs in arrays:
        assert_allclose(ours, theirs, rtol=rtol, atol=rtol * abs(theirs).max())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("tile", [16, 7])
@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"weighted": True},
        {"centred": False},
        {"centred": False, "fit_intercept": False},
        {"consecutive": True},
        {"consecutive": True, "centred": False},
        {"l1": 1e-2},
        {"optimizer": "sgd"},
        {"optimizer": "adam", "weighted": True},
    ],
    ids=str,
)
def test_two_classes_follow_array_trainer_step_by_step(variant, tile, dtype, monkeypatch):
    monkeypatch.setattr(numpy_trainer, "_tile_rows", lambda problem: tile)
    case = replace(TWO_CLASSES, dtype=dtype, **variant)
    problem, order, step_sizes = problem_and_arguments(case)
    state = any_state(problem)
    ours, plain = NUMPY.trainer(problem, state), ArrayTrainer(problem, state)
    assert isinstance(ours, binary_trainer.BinaryTrainer)
    rtol = 1e-11 if dtype == "float64" else 2e-4
    for i in range(step_sizes.shape[1]):
        batch = order[i * 16 : (i + 1) * 16]
        loss, expected = (each.run_epoch(batch, step_sizes[:, [i]]) for each in (ours, plain))
        assert_allclose(loss, expected, rtol=rtol)
        assert_same_state(ours.state(), plain.state(), rtol)


def test_two_classes_take_shares_of_batches_empty_ones_too():
    problem, order, step_sizes = problem_and_arguments(replace(TWO_CLASSES, weighted=True))
    ours, plain = (
        trainer(problem, any_state(problem), reduce=lambda gradient: 2 * gradient)
        for trainer in (NUMPY.dense_trainer, ArrayTrainer)
    )
    for each in (ours, plain):
        each.batch_ends = np.array([9, 9, 25, 41, 41])
    losses = [each.run_epoch(order[:41], step_sizes) for each in (ours, plain)]
    assert_allclose(*losses, rtol=1e-12)
    assert_same_state(ours.state(), plain.state(), 1e-11)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_whose_exponential_overflows_train(n_classes, dtype):
    case = replace(TWO_CLASSES, dtype=dtype, n_classes=n_classes)
    problem, order, step_sizes = problem_and_arguments(case)
    state = any_state(problem)
    state = replace(state, parameters=state.parameters * 1e6, average=state.average * 1e6)
    ours, plain = NUMPY.trainer(problem, state), ArrayTrainer(problem, state)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss = ours.run_epoch(order, step_sizes)
    assert_allclose(loss, plain.run_epoch(order, step_sizes), rtol=1e-4)
    assert loss[0] > 1e4
    assert_same_state(ours.state(), plain.state(), 1e-4)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_missing_value_reaches_loss_and_weights(n_classes):
    problem, order, step_sizes = problem_and_arguments(
        replace(TWO_CLASSES, n_classes=n_classes)
    )
    X = problem.X.copy()
    X[order[3], 0] = np.nan
    trainer = NUMPY.trainer(replace(problem, X=X), any_state(problem))
    assert np.isnan(trainer.run_epoch(order, step_sizes)).all()
    assert np.isnan(trainer.state().parameters).all(axis=1).any()
