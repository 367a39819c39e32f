"""L-BFGS and the metric of second derivatives, on functions whose minimum is known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import rosen, rosen_der

from sksoftmax.training.lbfgs import iterates
from sksoftmax.training.metric import Metric


def quadratic(curvatures):
    return lambda x: (float(curvatures @ x**2) / 2, curvatures * x)


@pytest.mark.parametrize("n_pairs", [1, 5, 30])
def test_it_finds_the_minimum_of_a_curved_valley(n_pairs):
    values = []
    for point, _ in iterates(lambda x: (rosen(x), rosen_der(x)), np.zeros(6), n_pairs):
        values.append(rosen(point))
        if len(values) == 1_000:
            break
    assert_allclose(point, 1, atol=1e-6)
    assert np.all(np.diff(values[:-1]) < 0)


@pytest.mark.parametrize("sign", [-1, np.nan])
def test_where_no_step_leads_down_it_ends_where_it_was(sign):
    value_gradient = quadratic(np.ones(3))

    def function(x):  # once its slopes are lost in rounding, they lead anywhere
        value, slopes = value_gradient(x)
        return value, slopes if value > 0.1 else sign * slopes + 1e-3

    start = np.full(3, 2.0)
    points = [start, *(found.point for found in iterates(function, start, 5))]
    values = [value_gradient(point)[0] for point in points]
    assert np.all(np.diff(values) <= 0)
    assert len(values) < 50


def test_each_point_is_the_last_one_that_was_looked_at():
    looked = []

    def function(x):
        looked.append(x.copy())
        return quadratic(np.logspace(0, 4, 20))(x)

    for _, (point, _) in zip(range(30), iterates(function, np.ones(20), 5), strict=False):
        assert_allclose(point, looked[-1], rtol=0, atol=0)
    assert len(looked) < 45


@pytest.mark.parametrize("distance", [0.02, 0.05, 0.2, 0.7])
def test_a_first_step_that_is_far_too_long_is_soon_the_right_one(distance):
    n_looks = 0

    def function(x):
        nonlocal n_looks
        n_looks += 1
        return quadratic(np.full(4, 3.0))(x)

    point, _ = next(iterates(function, np.full(4, distance / 2), 5))  # the step has length 1
    assert n_looks <= 3  # the start among them
    assert np.linalg.norm(point) < 0.5 * distance


def test_steps_end_before_the_function_does():
    def function(x):  # of x > 0 alone; the first step, of length 1, goes below
        with np.errstate(invalid="ignore", divide="ignore"):
            return float((x - np.log(x)).sum()), 1 - 1 / x

    *_, (last, _) = iterates(function, np.full(3, 1e-3), 5)
    assert_allclose(last, 1, atol=1e-6)
    *_, (last, _) = iterates(function, np.full(3, 1.4), 5)
    assert_allclose(last, 1, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_decrement_says_what_is_left(seed):
    rng = np.random.default_rng(seed)
    curvatures = rng.uniform(0.5, 1.0, 20)  # at the start they were thought to be 1
    function = quadratic(curvatures)
    start = rng.standard_normal(20)
    for found in iterates(function, start, 30, curvature=1.0):
        left = function(found.point)[0]
        if left < 1e-12 * function(start)[0]:
            break
        assert 0.5 * left <= found.decrement <= left * (1 + 1e-9)


def test_at_the_minimum_there_is_nothing_to_do():
    assert list(iterates(quadratic(np.ones(3)), np.zeros(3), 5)) == []


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_in_the_metric_the_first_step_is_newtons(scale):
    rng = np.random.default_rng(0)
    units = np.tile([1, scale], 4)
    root = rng.standard_normal((30, 8)) * units
    hessian, start = root.T @ root, rng.standard_normal(8) / units
    metric = Metric(hessian)
    length = metric.gradient(hessian @ start)
    assert_allclose(metric.step(length), start, rtol=1e-6)
    # In its coordinates the Hessian is the identity.
    assert_allclose(metric.gradient(hessian @ metric.step(length)), length, rtol=1e-6)


def test_a_direction_without_curvature_has_a_finite_metric_and_infinity_none():
    hessian = np.diag([1.0, 0.0])
    assert np.isfinite(Metric(hessian).gradient(np.array([1.0, 0.0]))).all()
    with pytest.raises(np.linalg.LinAlgError):
        Metric(np.diag([1.0, np.inf]))
    with pytest.raises(np.linalg.LinAlgError):
        Metric(np.diag([1.0, -1.0]))
