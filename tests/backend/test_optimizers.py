"""The update rules against scikit-learn's own, step by step, and what is kept of them."""

import pickle
import warnings
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_wine
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

from sksoftmax import SoftmaxClassifier, __version__, get_backend
from sksoftmax.backend.array_trainer import ArrayTrainer
from sksoftmax.backend.problem import Problem, Rule
from sksoftmax.backend.state import State
from sksoftmax_numpy import NumpyBackend

X, Y = load_wine(return_X_y=True)
ONE = np.ones(1)


def trainer(**rule):
    problem = Problem(
        X=X, y=Y.astype(np.int32), weights=None, n_classes=3, dtype=np.dtype(float),
        batch_size=50, l2=0.1 * ONE, l1=0 * ONE, penalty_share=1.0, average=False,
        fit_intercept=True, means=None, scales=np.ones(13),
        step_scales=np.ones(13), rule=Rule(momentum=0.9 * ONE, **rule),
    )  # fmt: skip
    return ArrayTrainer(problem, State.zeros(1, 3, 13, problem.dtype))


def peer_for(parameters, rule):
    if rule == "adam":
        return AdamOptimizer(parameters, 1e-3, 0.9, 0.999, 1e-12), {
            "name": "adam",
            "epsilon": 1e-12,
        }
    nesterov = rule == "nesterov"
    return SGDOptimizer(parameters, 1e-3, "constant", 0.9, nesterov), {"nesterov": nesterov}


@pytest.mark.parametrize("threshold", [None, np.zeros((1, 1, 14))])  # without and at no penalty
@pytest.mark.parametrize("rule", ["heavy ball", "nesterov", "adam"])
def test_update_rule_is_that_of_scikit_learn(rule, threshold):
    mirrored = np.zeros((1, 3, 14))
    peer, parameters = peer_for([mirrored], rule)
    ours = trainer(**parameters)
    rng = np.random.default_rng(0)
    for _ in range(20):
        gradient = rng.standard_normal(mirrored.shape)
        peer.update_params([mirrored], [gradient.copy()])
        ours._n_steps += 1
        ours._optimizer.update(
            ours._parameters,
            ours._memory,
            gradient,
            np.full((1, 1, 1), 1e-3),
            threshold,
            ours._n_steps,
        )
    assert_allclose(ours.state().parameters, mirrored, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("l1", [0.0, 0.01])
def test_numbers_of_one_model_have_the_bits_of_arrays(dtype, l1):
    rule = Rule("distance-over-gradients", nearness=0.9)
    problem = replace(
        trainer().problem, dtype=np.dtype(dtype), l1=l1 * ONE, curvature=2.5 * ONE, rule=rule
    )
    start = State.zeros(1, 3, 13, problem.dtype)
    numbers, arrays = NumpyBackend().trainer(problem, start), ArrayTrainer(problem, start)
    rng = np.random.default_rng(0)
    for n_steps in range(1, 30):
        gradient = rng.standard_normal((1, 3, 14)).astype(dtype) * (n_steps > 2)
        for each in (numbers, arrays):
            each._optimizer.update(
                each._parameters, each._average, each._norms, gradient.copy(), 0.7 * ONE,
                (each._scales, each._inverse_scales), each._threshold, n_steps,
            )  # fmt: skip
    state, expected = numbers.state(), arrays.state()
    assert_array_equal(state.parameters, expected.parameters)
    assert_array_equal(state.average, expected.average)
    assert dict(state.norms) == dict(expected.norms)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"nesterov": True},
        {"optimizer": "adam"},
        {"schedule": "invscaling"},
        {"schedule": "adaptive"},
    ],
)
def test_pickled_and_resumed_training_is_the_uninterrupted_one(parameters):
    clf = SoftmaxClassifier(
        batch_size=32, tol=None, max_iter=4, warm_start=True, random_state=0, **parameters
    )
    resumed = pickle.loads(pickle.dumps(clf.fit(X, Y))).fit(X, Y)
    whole = SoftmaxClassifier(
        batch_size=32, tol=None, max_iter=8, random_state=0, **parameters
    ).fit(X, Y)
    assert_array_equal(resumed.coef_, whole.coef_)
    assert_array_equal(resumed.intercept_, whole.intercept_)
    assert resumed.loss_curve_ == whole.loss_curve_


class RecordsSteps(ArrayTrainer):
    """The reference, which notes every step size that it is given."""

    steps: ClassVar[list[float]] = []

    def run_epoch(self, order, step_sizes):
        self.steps.extend(step_sizes[0].tolist())
        return super().run_epoch(order, step_sizes)


def steps_taken(**parameters):
    backend = get_backend("numpy")
    backend.trainer = RecordsSteps
    RecordsSteps.steps.clear()
    clf = SoftmaxClassifier(
        batch_size=60, learning_rate=0.5, random_state=0, backend=backend, **parameters
    )
    clf.fit(X, Y)
    return clf, np.array(RecordsSteps.steps)


def test_schedules():
    few = {"max_iter": 4, "tol": None}  # of 3 batches
    assert_array_equal(steps_taken(**few)[1], np.full(12, 0.5))
    assert_allclose(
        steps_taken(schedule="invscaling", **few)[1], 0.5 / np.sqrt(np.arange(1, 5)).repeat(3)
    )
    assert_allclose(steps_taken(schedule="linear", **few)[1], 0.5 * (1 - np.arange(12) / 12))
    assert_allclose(
        steps_taken(schedule="cosine", **few)[1],
        0.25 * (1 + np.cos(np.pi * np.arange(12) / 12)),
    )


def test_adaptive_divides_where_constant_stops_and_ends_lower():
    constant, _ = steps_taken()
    adaptive, steps = steps_taken(schedule="adaptive")
    assert_array_equal(steps[: constant.t_], np.full(constant.t_, 0.5))
    assert steps[constant.t_] == 0.1
    assert_allclose(np.unique(steps), 0.5 * 5.0 ** np.arange(-5, 1))
    assert adaptive.loss_curve_[-1] < constant.loss_curve_[-1]


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_planned_schedules_run_to_their_end(schedule):
    clf, _ = steps_taken(schedule=schedule, max_iter=150)  # warns of nothing
    assert clf.n_iter_ == 150
    with pytest.raises(ValueError, match="falls to zero at the end of a fit"):
        clf.partial_fit(X, Y)


def test_linear_gets_nearer_to_the_optimum_than_constant():
    # Where the penalty curves enough for the noise of the steps to be what keeps them apart.
    best = SoftmaxClassifier(alpha=0.02, batch_size=1000, tol=1e-12, max_iter=50_000).fit(X, Y)
    parameters = {
        "alpha": 0.02,
        "batch_size": 16,
        "max_iter": 300,
        "tol": None,
        "random_state": 0,
    }
    distance = {
        schedule: np.abs(
            SoftmaxClassifier(schedule=schedule, average=False, **parameters)
            .fit(X, Y)
            .predict_proba(X)
            - best.predict_proba(X)
        ).max()
        for schedule in ("constant", "linear")
    }
    assert distance["linear"] < distance["constant"] / 2


def test_unpickling_under_another_version_warns():
    pickled = pickle.dumps(SoftmaxClassifier().fit(X, Y))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(pickled)
    other = pickled.replace(__version__.encode(), b"9" * len(__version__))
    with pytest.warns(InconsistentVersionWarning, match="SoftmaxClassifier from version 99999"):
        clf = pickle.loads(other)
    assert clf.score(X, Y) > 0.9
