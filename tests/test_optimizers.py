"""The update rules against scikit-learn's own, step by step, and what is kept of them."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_wine
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

from sksoftmax import SoftmaxClassifier
from sksoftmax.array_trainer import ArrayTrainer
from sksoftmax.problem import Problem, State

X, Y = load_wine(return_X_y=True)
ONE = np.ones(1)


def trainer(**changes):
    problem = Problem(
        X=X, y=Y.astype(np.int32), weights=None, n_classes=3, dtype=np.dtype(float),
        batch_size=50, l2=0.1 * ONE, penalty_share=1.0, momentum=0.9 * ONE, average=False,
        fit_intercept=True, means=None, scales=np.ones((1, 13)), step_scales=np.ones((1, 13)),
        **changes,
    )  # fmt: skip
    return ArrayTrainer(problem, State.zeros(1, 3, 13, problem.dtype))


def peer_for(parameters, rule):
    if rule == "adam":
        return AdamOptimizer(parameters, 1e-3, 0.9, 0.999, 1e-12), {
            "optimizer": "adam",
            "epsilon": 1e-12,
        }
    nesterov = rule == "nesterov"
    return SGDOptimizer(parameters, 1e-3, "constant", 0.9, nesterov), {"nesterov": nesterov}


@pytest.mark.parametrize("rule", ["heavy ball", "nesterov", "adam"])
def test_update_rule_is_that_of_scikit_learn(rule):
    mirrored = np.zeros((1, 3, 14))
    peer, parameters = peer_for([mirrored], rule)
    ours = trainer(**parameters)
    rng = np.random.default_rng(0)
    for _ in range(20):
        gradient = rng.standard_normal(mirrored.shape)
        peer.update_params([mirrored], [gradient.copy()])
        ours._n_steps += 1
        ours._optimizer.update(
            ours._parameters, ours._moments, gradient, np.full((1, 1, 1), 1e-3), ours._n_steps
        )
    assert_allclose(ours.state().parameters, mirrored, rtol=1e-9)


@pytest.mark.parametrize("parameters", [{}, {"nesterov": True}, {"optimizer": "adam"}])
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
