"""One step at a time: gradients, weights, the textbook loop, statistics and step sizes.

Each formula is compared with what it stands for: differences of the objective, repeated
rows, a literal loop, NumPy's own moments and eigenvalues.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from scipy.special import log_softmax
from sklearn.datasets import load_digits, load_iris, load_wine

from sksoftmax import SoftmaxClassifier, get_backend
from sksoftmax.backend.array_trainer import ArrayTrainer
from sksoftmax.backend.problem import Problem, Rule
from sksoftmax.backend.state import State
from sksoftmax.backend.statistics import feature_moments
from sksoftmax.training.coordinates import Coordinates, automatic_coordinates
from sksoftmax.training.curvature import measure_curvature
from sksoftmax.training.deviations import Deviations, measure_deviations

NUMPY = get_backend("numpy")


def problem_on(X, y, **changes):
    n = X.shape[1]
    problem = Problem(
        X=X, y=y.astype(np.int32), weights=None, n_classes=int(y.max()) + 1,
        dtype=np.dtype(np.float64), batch_size=len(X), l2=np.array([0.3]), l1=np.zeros(1),
        penalty_share=1.0, average=False, fit_intercept=True, means=None,
        scales=np.ones(n), step_scales=np.ones(n),
    )  # fmt: skip
    return replace(problem, **changes)


def objective(problem, parameters):
    coef, intercept = parameters[:, :-1], parameters[:, -1]
    logs = log_softmax(problem.X @ coef.T + intercept, axis=1)
    loss = -np.mean(problem.weights * logs[np.arange(len(problem.y)), problem.y])
    return loss + problem.l2[0] / 2 * ((problem.scales * coef) ** 2).sum()


def test_second_derivatives_keep_their_digits_where_a_class_is_nearly_certain():
    problem = problem_on(np.zeros((3, 1)), np.arange(3))
    parameters = np.array([[[0.0, 30.0], [0.0, 0.0], [0.0, 1.0]]])
    trainer = ArrayTrainer(problem, State(parameters, parameters, {}, np.zeros(1), 0))
    (hessian,) = trainer.hessian(parameters, problem.X, None, only_intercepts=True)
    z = np.exp([0, -30, -29])
    z /= z.sum()
    expected = -np.outer(z, z)
    np.fill_diagonal(
        expected, [z[0] * (z[1] + z[2]), z[1] * (z[0] + z[2]), z[2] * (z[0] + z[1])]
    )
    assert_allclose(hessian, expected, rtol=1e-10)


def test_step_is_the_gradient_by_central_differences():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 3)), np.arange(12) % 4
    w = rng.exponential(size=12)
    problem = problem_on(X, y, weights=w / w.mean(), scales=rng.uniform(1, 2, 3))
    start = rng.standard_normal((1, 4, 4))
    state = State(start, start, {}, np.zeros(3), 0)
    trainer = ArrayTrainer(problem, state)
    value = trainer.penalty() + trainer.run_epoch(np.arange(12), np.ones((1, 1)))
    assert_allclose(value, objective(problem, start[0]))
    step = start[0] - trainer.state().parameters[0]
    for index in np.ndindex(4, 4):
        change = np.zeros((4, 4))
        change[index] = 1e-5
        ahead, behind = (
            objective(problem, start[0] + change),
            objective(problem, start[0] - change),
        )
        assert_allclose(step[index], (ahead - behind) / 2e-5, rtol=1e-6, atol=1e-9)


def test_centring_moves_the_same_model():
    # A step in centred features is a step of the model, whatever features are called zero.
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 3)), np.arange(20) % 3
    means = np.array([5.0, -3.0, 1.0])
    zeros = State.zeros(1, 3, 3, np.dtype(float))
    steps = np.full((1, 1), 0.5)
    plain = ArrayTrainer(problem_on(X, y), zeros)
    moved = ArrayTrainer(problem_on(X + means, y, means=means), zeros)
    for _ in range(3):
        assert_allclose(
            moved.run_epoch(np.arange(20), steps), plain.run_epoch(np.arange(20), steps)
        )
    assert_allclose(moved.state().parameters, plain.state().parameters, atol=1e-12)


def test_reduce_adds_up_two_machines():
    X, y = load_iris(return_X_y=True)
    zeros = State.zeros(1, 3, 4, np.dtype(float))
    whole = ArrayTrainer(problem_on(X, y), zeros)
    whole.run_epoch(np.arange(150), np.full((1, 1), 0.01))
    other = ArrayTrainer(problem_on(X, y), zeros)
    far = other._summed_gradient(np.arange(1, 150, 2))[0]
    near = ArrayTrainer(problem_on(X, y), zeros, reduce=lambda gradient: gradient + far)
    near._step(np.arange(0, 150, 2), np.full((1, 1, 1), 0.01))
    # From zero the penalty has no gradient, so its share of rows plays no part.
    assert_allclose(near.state().parameters, whole.state().parameters, atol=1e-14)


def test_integer_weights_equal_repeated_rows_in_full_batches():
    X, y = load_wine(return_X_y=True)
    w = np.random.default_rng(0).integers(0, 4, len(y))
    clf = SoftmaxClassifier(batch_size=10_000, tol=None, max_iter=60, random_state=0)
    weighted = clf.fit(X, y, sample_weight=w).predict_proba(X)
    repeated = clf.fit(X.repeat(w, axis=0), y.repeat(w)).predict_proba(X)
    assert_allclose(weighted, repeated, atol=1e-9)


def test_integer_weights_equal_repeated_rows_in_expectation_over_minibatches():
    X, y = load_iris(return_X_y=True)
    w = np.random.default_rng(0).integers(1, 4, len(y))
    fits = {"learning_rate": 0.02, "batch_size": 16, "tol": None, "max_iter": 10}

    def probabilities(X_fit, y_fit, weights):
        return np.mean(
            [
                SoftmaxClassifier(random_state=seed, **fits)
                .fit(X_fit, y_fit, sample_weight=weights)
                .predict_proba(X)
                for seed in range(30)
            ],
            axis=0,
        )

    # Twice the rows make twice the steps: the weighted model takes twice the epochs.
    repeated = probabilities(X.repeat(w, axis=0), y.repeat(w), None)
    fits["max_iter"] = round(10 * w.sum() / len(y))
    assert np.abs(probabilities(X, y, w) - repeated).max() < 0.02


@pytest.mark.parametrize("batch_size", [16, 1000])
def test_zero_weight_equals_the_row_removed(batch_size):
    X, y = load_wine(return_X_y=True)
    w = np.ones(len(y))
    w[::3] = 0
    spoilt = X.copy()
    spoilt[::3] = 1e6
    clf = SoftmaxClassifier(batch_size=batch_size, random_state=0)
    weighted = clf.fit(spoilt, y, sample_weight=w).predict_proba(X)
    assert_allclose(weighted, clf.fit(X[w > 0], y[w > 0]).predict_proba(X), atol=1e-9)


@pytest.mark.parametrize("n_rows", [520, 600, 700, 760])
def test_strong_penalty_and_short_last_batch_do_not_resonate(n_rows):
    # A penalty that is weaker in the short batch drives heavy-ball momentum like a swing.
    X, y = load_digits(return_X_y=True)
    clf = SoftmaxClassifier(alpha=10, tol=None, max_iter=100, random_state=0)
    clf.fit(X[:n_rows], y[:n_rows])
    assert max(clf.loss_curve_) < 2 * np.log(10)


def literal_loop(X, Y, n_epochs):
    theta = np.zeros((X.shape[1], Y.shape[1]))
    for _ in range(n_epochs):
        for start in range(0, len(X), 100):
            x, I_y = X[start : start + 100], Y[start : start + 100]
            Z = np.exp(x @ theta)
            Z /= Z.sum(axis=1, keepdims=True)
            theta -= 0.2 / 100 * x.T @ (Z - I_y)
    return theta


@pytest.mark.mnist
@pytest.mark.slow
def test_textbook_loop_on_mnist(mnist):
    X, y, X_test, y_test = mnist
    X, X_test = X / 255, X_test / 255
    clf = SoftmaxClassifier(
        momentum=0, average=False, standardize=False, shuffle=False, alpha=0,
        fit_intercept=False, learning_rate=0.2, batch_size=100, max_iter=1, tol=None,
        warm_start=True,
    )  # fmt: skip
    clf.fit(X, y)
    assert_allclose(clf.coef_, literal_loop(X, np.eye(10)[y], 1).T, atol=1e-10)
    assert clf.score(X_test, y_test) > 0.90
    scores = [clf.fit(X, y).score(X_test, y_test) for _ in range(9)]
    assert max(scores) > 0.92


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_rows=st.integers(2, 60),
    cut=st.floats(0, 1),
    offset=st.sampled_from([0.0, 1e6, -3e8]),
    weighted=st.booleans(),
)
def test_moments_of_chunks_merge_to_those_of_all_rows(seed, n_rows, cut, offset, weighted):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, 3)) * [1, 10, 0] + offset
    w = rng.integers(1, 5, n_rows).astype(float) if weighted else None
    first = slice(0, 1 + int(cut * (n_rows - 2)))
    second = slice(first.stop, None)
    parts = [
        feature_moments(NUMPY, X[part], None if w is None else w[part], None)
        for part in (first, second)
    ]
    merged = parts[0].merge(parts[1])
    mean = np.average(X, axis=0, weights=w)
    variance = np.average((X - mean) ** 2, axis=0, weights=w)
    assert_allclose(merged.mean, mean, rtol=1e-12, atol=1e-12)
    assert_allclose(merged.scale[:2], np.sqrt(variance)[:2], rtol=1e-6)
    assert merged.scale[2] == 1  # constant, exactly, however large
    assert_allclose(merged.minimum, X.min(axis=0), rtol=1e-12, atol=1e-12)
    assert_allclose(merged.maximum, X.max(axis=0), rtol=1e-12, atol=1e-12)


def literal_rule(X, Y, order, batch_size, curvature, n_epochs):
    """Distance over gradients, near the average, in the coordinates that X is in."""
    z = a = np.zeros((Y.shape[1], X.shape[1]))
    r = v = weight = t = 0
    for _ in range(n_epochs):
        for start in range(0, len(order), batch_size):
            x, target = X[order[start:][:batch_size]], Y[order[start:][:batch_size]]
            y = 0.2 * z + 0.8 * a
            probabilities = np.exp(log_softmax(x @ y.T, axis=1))
            g = (probabilities - target).T @ x / batch_size
            t += 1
            if t == 1:
                r = np.linalg.norm(g) / curvature
            r = max(r, np.linalg.norm(a))
            v += r**2 * (g**2).sum()
            z = z - r**2 / np.sqrt(v) * g
            weight += r**2 * t
            a = a + r**2 * t / weight * (z - a)
    return a


def test_the_automatic_rule_is_the_one_that_is_documented():
    X, y = load_iris(return_X_y=True)
    Z = np.hstack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones((150, 1))])
    order = np.random.default_rng(0).permutation(150)
    problem = problem_on(
        X, y, batch_size=32, l2=np.zeros(1), average=True, means=X.mean(axis=0),
        step_scales=X.std(axis=0), rule=Rule("distance-over-gradients"),
        curvature=np.array([1.5]),
    )  # fmt: skip
    trainer = ArrayTrainer(problem, State.zeros(1, 3, 4, problem.dtype))
    for _ in range(3):
        trainer.run_epoch(order, np.ones((1, 5)))
    expected = literal_rule(Z, np.eye(3)[y], order, 32, 1.5, 3)
    actual = trainer.state().average[0] * np.append(X.std(axis=0), 1)
    assert_allclose(actual, expected, rtol=1e-10)


def test_no_automatic_step_is_longer_than_the_way_so_far():
    # A batch of glitches must not throw the iterate farther than the average has come.
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((64, 3)), np.arange(64) % 2
    X[40] = 1e4
    problem = problem_on(
        X, y, batch_size=8, l2=np.zeros(1), average=True, fit_intercept=False,
        rule=Rule("distance-over-gradients"), curvature=np.array([0.5]),
    )  # fmt: skip
    trainer = ArrayTrainer(problem, State.zeros(1, 2, 3, problem.dtype))
    before = trainer.state()
    for start in range(0, 64, 8):
        trainer.run_epoch(np.arange(start, start + 8), np.ones((1, 1)))
        state = trainer.state()
        way = np.linalg.norm(state.parameters - before.parameters)
        assert way <= max(before.norms["distance"][0], np.linalg.norm(state.average)) + 1e-12
        before = state


def test_curvature_is_that_of_the_bound_along_the_first_gradient():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 5)) * [1, 2, 3, 4, 9], np.arange(30) % 3
    w = rng.exponential(size=30)
    w /= w.mean()
    centre, scale = np.arange(5.0), np.arange(1, 6.0)
    curvature = measure_curvature(
        NUMPY, X, y, 3, w, None, Coordinates(centre, scale, 0.5),
        fit_intercept=True, batch_size=100, rng=rng,
    )  # fmt: skip
    Z = np.hstack([(X - centre) / scale, np.full((30, 1), 2)])
    G = (w[:, None] * (1 / 3 - np.eye(3)[y])).T @ Z / 30
    expected = (w[:, None] * (Z @ G.T) ** 2).sum() / (2 * 30 * (G**2).sum())
    assert_allclose(curvature, expected)


@pytest.mark.parametrize("signal", [0, 3])
@pytest.mark.parametrize("n_classes", [3, 4, 9, 40])
def test_other_rows_say_how_long_the_first_step_of_many_classes_may_be(n_classes, signal):
    rng = np.random.default_rng(0)
    y = rng.integers(n_classes, size=400)
    X = rng.standard_normal((400, 20)) + signal * rng.standard_normal((n_classes, 20))[y]
    w = rng.exponential(size=400)
    # Two batches of all rows are every other row; up to three classes there is but one.
    of_batch, of_others = np.arange(0, 400, 2), np.arange(1, 400, 2)
    if n_classes == 3:
        of_batch = np.sort(
            np.random.default_rng(1).choice(400, 200, replace=False, shuffle=False)
        )
    measured, bound = (
        measure_curvature(
            NUMPY, X, y, n_classes, w, rows, Coordinates(None, np.ones(20)),
            fit_intercept=False, batch_size=200, rng=np.random.default_rng(1),
        )
        for rows in (None, of_batch)  # a batch alone has no other rows
    )  # fmt: skip
    x, targets = X[of_batch], np.eye(n_classes)[y[of_batch]]
    G = (w[of_batch, None] * (1 / n_classes - targets)).T @ x / 200

    def loss(step):
        logs = log_softmax(-step * X[of_others] @ G.T, axis=1)
        return -np.mean(w[of_others] * logs[np.arange(200), y[of_others]])

    ratio = bound / measured
    steps = 2.0 ** np.arange(7)
    losses = np.array([loss(step / bound) for step in steps])
    allowed = steps <= max(1, n_classes / 2)
    falls = np.append(True, np.cumprod(np.diff(losses) < 0).astype(bool))
    assert ratio == steps[allowed & falls][-1]
    if n_classes == 40:
        assert (ratio > 1) == (signal > 0)


@pytest.mark.parametrize("weighted", [False, True])
def test_dense_and_sparse_rows_are_measured_alike(weighted):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 6)) + np.array([0, 0, 5, 500, 0, 0])
    X[:, :2] *= rng.random((400, 2)) < 0.05
    y, w = (np.arange(400) % 3).astype(np.int32), rng.exponential(size=400)
    w = w / w.mean() if weighted else None
    found = []
    for rows in (X, csr_array(X)):
        moments = feature_moments(NUMPY, rows, w, None)
        seed = np.random.default_rng(1)
        deviations = measure_deviations(NUMPY, rows, w, None, moments.mean, seed)
        coordinates = automatic_coordinates(moments, deviations, fit_intercept=True)
        curvature = measure_curvature(
            NUMPY, rows, y, 3, w, None, coordinates,
            fit_intercept=True, batch_size=50, rng=seed,
        )  # fmt: skip
        found.append((deviations.absolute, deviations.agreement, coordinates.scale, curvature))
    for dense, sparse in zip(*found, strict=True):
        assert_allclose(dense, sparse, rtol=1e-8)
    exact = np.average(np.abs(X - np.average(X, 0, w)), axis=0, weights=w)
    assert_allclose(found[0][0], exact, rtol=1e-8)


def test_scales_of_the_step_are_wide_for_rare_features_alone():
    # A pixel that is on in one row of 10,000, a normal feature with glitches, heavy tails.
    rng = np.random.default_rng(0)
    rare, glitches = np.zeros(10_000), rng.standard_normal(10_000)
    rare[7], glitches[:3] = 255, [-57, 80, 102]
    columns = rng.standard_normal(10_000), rare, glitches, rng.standard_cauchy(10_000)
    X = np.stack([*columns, np.ones(10_000)], axis=1)
    moments = feature_moments(NUMPY, X, None, None)
    deviations = measure_deviations(NUMPY, X, None, None, moments.mean, rng)
    scale = automatic_coordinates(moments, deviations, fit_intercept=True).scale
    ratio = scale / moments.scale
    assert_array_equal(ratio[[0, 2, 3]], 1)
    assert 8 < ratio[1] < 20
    assert scale[4] == np.inf


def test_deviations_of_chunks_merge_to_those_of_all_rows():
    rng = np.random.default_rng(0)
    X, means = rng.standard_normal((300, 4)), np.zeros(4)
    parts = [measure_deviations(NUMPY, x, None, None, means, rng) for x in (X[:100], X[100:])]
    whole = measure_deviations(NUMPY, X, None, None, means, rng)
    merged = parts[0].merge(parts[1])
    assert isinstance(merged, Deviations)
    assert merged.weight == whole.weight
    assert_allclose(merged.above, whole.above)
    assert_allclose(merged.below, whole.below)
