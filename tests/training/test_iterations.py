"""Default fits whose steps have not sufficed go on by iterations over all rows."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from default_fits import fitted, frequency_loss
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss

from sksoftmax import SoftmaxClassifier
from sksoftmax.backend import Rule
from sksoftmax.backend.distance_over_gradients import last_step, moved_to
from sksoftmax.training.plan import ITERATIONS_BEFORE_A_PLATEAU, MOST_EPOCHS, PASSES_AT_ONCE
from sksoftmax.training.run import Run
from sksoftmax.training.training import Training
from sksoftmax.training.variables import Variables

X, Y = load_breast_cancer(return_X_y=True)
N_BATCHES = -(-len(X) // 64)


def heavy_tails(n_rows, n_features, n_classes):
    """Rows on which steps are slow: few of them decide how wide a feature is."""
    rng = np.random.default_rng(0)
    X = rng.standard_cauchy((n_rows, n_features))
    scores = np.arctan(X) @ rng.normal(size=(n_features, n_classes))
    return X, (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("n_features", [5, 60, 200])
@pytest.mark.parametrize("l1_ratio", [0, 0.5])
def test_heavy_tails_end_soon_and_near_the_optimum(n_features, n_classes, l1_ratio):
    X, y = heavy_tails(3000, n_features, n_classes)
    clf = fitted(X, y, l1_ratio=l1_ratio)
    assert clf.n_iter_ < 100
    exact = fitted(X, y, l1_ratio=l1_ratio, optimizer="lbfgs", tol=1e-5)
    gap = clf.loss_curve_[-1] - exact.loss_curve_[-1]
    assert gap < 3e-3 * frequency_loss(y)


@pytest.mark.parametrize("alpha", ["auto", 1e-4])
@pytest.mark.parametrize(("n_features", "n_classes"), [(10, 3), (20, 2), (40, 2), (40, 5)])
def test_the_noise_of_steps_is_not_taken_off_what_iterations_gain(n_features, n_classes, alpha):
    X, y = heavy_tails(3000, n_features, n_classes)
    clf = fitted(X, y, alpha=alpha, tol=1e-6)
    exact = fitted(X, y, alpha=alpha, optimizer="lbfgs", tol=1e-7)
    assert clf.loss_curve_[-1] - exact.loss_curve_[-1] < 2e-6 * frequency_loss(y)


def test_steps_come_first_and_iterations_never_rise():
    clf, steps = (fitted(X, Y, optimizer=optimizer) for optimizer in ("auto", "sgd"))
    n_epochs = clf.t_ // N_BATCHES
    assert n_epochs == 1 < clf.n_iter_  # of steps as small as these
    assert clf.loss_curve_[:n_epochs] == steps.loss_curve_[:n_epochs]
    assert (np.diff(clf.loss_curve_[n_epochs:]) <= 0).all()


@pytest.mark.parametrize("seed", range(10))
def test_iterations_never_rise_where_rounding_has_the_last_word(seed):
    rng = np.random.default_rng(seed)
    X = 1e6 + 1e-3 * rng.standard_normal((4, 306))
    clf = fitted(X, np.arange(4), standardize=False)
    assert (np.diff(clf.loss_curve_[clf.t_ :]) <= 0).all()  # a step an epoch before


@pytest.mark.parametrize(
    "parameters",
    [
        {"tol": None, "max_iter": 20},
        {"early_stopping": True},
        {"learning_rate": 0.1},
        {"schedule": "invscaling"},
        {"schedule": "linear", "max_iter": 20},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_whoever_asks_for_steps_is_given_steps(parameters):
    X, y = load_wine(return_X_y=True)
    clf, steps = (fitted(X, y, optimizer=o, **parameters) for o in ("auto", "sgd"))
    assert_array_equal(clf.coef_, steps.coef_)
    assert clf.loss_curve_ == steps.loss_curve_


def test_a_stream_takes_steps_alone():
    auto, steps = (SoftmaxClassifier(optimizer=o, random_state=0) for o in ("auto", "sgd"))
    for _ in range(2 * MOST_EPOCHS):
        auto.partial_fit(X, Y, classes=[0, 1])
        steps.partial_fit(X, Y, classes=[0, 1])
    assert_array_equal(auto.coef_, steps.coef_)


def test_steps_go_on_from_the_optimum_by_no_more_than_they_had_grown():
    X, y = load_digits(n_class=5, return_X_y=True)
    n_batches = -(-len(X) // 64)
    clf = fitted(X, y)
    step_size, coef, n_steps = clf.step_size_, clf.coef_, clf.t_
    assert n_steps < clf.n_iter_ * n_batches  # not all of them epochs of steps
    clf.partial_fit(X, y)
    assert clf.t_ == n_steps + n_batches
    steps = fitted(X, y, optimizer="sgd", max_iter=n_steps // n_batches, tol=None)
    of_steps = steps.step_size_
    steps.partial_fit(X, y)
    assert 0 < clf.step_size_ / step_size < steps.step_size_ / of_steps
    assert np.abs((clf.coef_ - coef) * clf.scale_).max() < 0.1 * np.abs(coef * clf.scale_).max()


@pytest.mark.parametrize("growth", [0.5, 1.0, 3.0, 1e6])
def test_steps_keep_their_size_however_far_iterations_go(growth):
    clf = fitted(X, Y, max_iter=3, tol=None)
    state, problem = clf._checkpoint.state, problem_of(clf)
    scales = problem.distance_scales
    way = np.sqrt(((state.average * scales) ** 2).sum())
    factor = growth * state.norms["distance"][0] / way
    moved = moved_to(factor * state.average, state.means, state, problem)
    assert last_step(moved) == pytest.approx(last_step(state), rel=1e-9)
    assert moved.norms["distance"] == pytest.approx(
        max(1, growth) * state.norms["distance"], rel=1e-9
    )
    assert moved.n_steps == state.n_steps
    given = replace(problem, rule=Rule("sgd", momentum=np.array([0.9])))
    anew = moved_to(state.average, state.means, replace(state, memory={"velocity": X}), given)
    assert (anew.n_steps, dict(anew.memory), dict(anew.norms)) == (0, {}, {})


@pytest.mark.parametrize("kind", ["raw units", "raw counts", "strong penalty", "few rows"])
def test_a_stream_does_not_lead_away_from_where_iterations_came(kind):
    rng = np.random.default_rng(0)
    parameters = {"standardize": kind.startswith("few") or kind.startswith("strong")}
    n_rows = 20 if kind == "few rows" else 1500
    X = rng.standard_normal((n_rows, 12))
    if kind == "raw units":
        X = X * 10.0 ** rng.integers(-3, 4, 12)
    elif kind == "raw counts":
        X = rng.poisson(rng.gamma(0.3, 20, 12), X.shape).astype(float)
    elif kind == "strong penalty":
        parameters["alpha"] = 1e7
    scores = (X - X.mean(axis=0)) / (X.std(axis=0) + 1e-9) @ rng.standard_normal((12, 3))
    y = (scores + rng.gumbel(size=scores.shape) + [0, 1, 2]).argmax(axis=1)
    clf = fitted(X, y, **parameters)
    before = kept_objective(clf, X, y)
    for _ in range(4):
        clf.partial_fit(X, y)
        assert kept_objective(clf, X, y) < before + 0.02 * frequency_loss(y)


def kept_objective(clf, X, y):
    scaled = clf.coef_ * clf.scale_
    return log_loss(y, clf.predict_proba(X)) + clf.alpha_ / 2 * (scaled**2).sum()


def problem_of(clf):
    fit = clf._new_fit(None)
    fit.check(X, Y, None)
    fit.seed = 0
    fit.start()
    return fit.run.training.problem


@pytest.mark.parametrize("kind", ["weak", "heavy tails"])
def test_second_derivatives_wait_until_they_pay(kind, monkeypatch):
    n_iterations = []  # when they were measured
    measure = Variables.take_metric

    def noted(self, weights):
        n_iterations.append(len(losses))
        measure(self, weights)

    losses = []
    end = Run.end_epoch
    monkeypatch.setattr(Variables, "take_metric", noted)
    monkeypatch.setattr(
        Run, "end_epoch", lambda *a, **k: (losses.append(a[1]), end(*a, **k))[1]
    )
    rng = np.random.default_rng(0)
    if kind == "weak":
        X, y = rng.standard_normal((4000, 239)), rng.integers(2, size=4000)
        y[X[:, 0] > 1] = 0
    else:
        X, y = heavy_tails(4000, 239, 2)
    fitted(X, y, tol=1e-4)
    assert len(losses) > 2  # epochs of steps
    if kind == "weak":  # over before they would pay
        assert n_iterations == []
    else:
        assert n_iterations[0] == 2 + 240 // 12 - PASSES_AT_ONCE


def test_iterations_are_not_compared_with_epochs(monkeypatch):
    # If the losses of epochs are told to be far too low, no iteration seems to gain on them.
    monkeypatch.setattr(Training, "noise", lambda _: 1.0)
    X, y = heavy_tails(2000, 150, 4)  # of too many weights for second derivatives
    clf = fitted(X, y, alpha=0)  # nor is any bound known
    exact = fitted(X, y, alpha=0, optimizer="lbfgs", tol=None)
    assert clf.n_iter_ > ITERATIONS_BEFORE_A_PLATEAU
    assert clf.loss_curve_[-1] - exact.loss_curve_[-1] < 1e-3 * frequency_loss(y)


@pytest.mark.parametrize("load", [load_wine, load_digits])
def test_without_a_bound_as_many_iterations_as_epochs_come_before_a_stop(load):
    X, y = load(return_X_y=True)
    clf = fitted(X, y, alpha=0, tol=1e-3)
    n_epochs = clf.t_ // -(-len(X) // 64)
    assert clf.n_iter_ >= 2 * n_epochs


@pytest.mark.parametrize("alpha", [1e2, 1e7])
def test_steps_that_have_come_below_no_baseline_are_no_end(alpha):
    # The penalty keeps steps short, and an intercept that none is on has far to go.
    y = np.repeat([0, 1, 2], [100, 400, 1500])
    X = np.random.default_rng(0).standard_normal((len(y), 12)) + y[:, None]
    clf = fitted(X, y, alpha=alpha)
    assert kept_objective(clf, X, y) < (1 + 1e-3) * frequency_loss(y)


@pytest.mark.parametrize("n_features", [3, 16])
def test_steps_that_have_gained_nothing_are_no_end(n_features):
    rng = np.random.default_rng(0)
    X = 1000 + rng.standard_normal((2300, n_features))
    y = ((X - 1000) @ rng.standard_normal(n_features) > 0).astype(int)
    clf = fitted(X, y, standardize=False)  # raw features, all of them far from zero
    assert clf.score(X, y) > 0.9


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_steps_move_sparse_rows_very_far_from_zero():
    rng = np.random.default_rng(0)
    X = 1e6 + 1e-3 * rng.standard_normal((9, 26))
    y = np.arange(9) % 2
    for form in (np.asarray, sparse.csr_array):
        clf = fitted(form(X), y, optimizer="sgd")
        assert clf.loss_curve_[-1] < 0.5
    clf = fitted(sparse.csr_array(X), y)
    for _ in range(3):
        clf.partial_fit(sparse.csr_array(X), y)
    assert np.isfinite(clf.coef_).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_first_gradients_of_an_outlier_are_no_noise(seed):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((1300, 6))
    scores = X @ rng.standard_normal((6, 3)) + rng.gumbel(size=(1300, 3))
    X[0] *= 1e3
    y = scores.argmax(axis=1)
    clf = fitted(X, y, standardize=False)
    exact = fitted(X, y, standardize=False, optimizer="lbfgs", tol=1e-5)
    gap = kept_objective(clf, X, y) - exact.loss_curve_[-1]
    assert gap < 3e-3 * frequency_loss(y)


def test_max_iter_ends_iterations_and_warns():
    X, y = heavy_tails(3000, 20, 3)
    with pytest.warns(ConvergenceWarning, match="Maximum number of epochs"):
        clf = fitted(X, y, tol=1e-9, max_iter=3)
    assert clf.n_iter_ == 3
    with pytest.warns(ConvergenceWarning, match="Maximum number of epochs"):
        clf = fitted(X, y, tol=1e-9, max_iter=1)  # of steps
    assert clf.n_iter_ == 1


def test_without_a_penalty_a_fit_ends_where_nothing_is_gained():
    X, y = load_digits(return_X_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for tol in (3e-3, 1e-5):
            clf = fitted(X, y, alpha=0, tol=tol)  # no bound but the objective is known
            assert clf.n_iter_ < 1000
    assert clf.loss_curve_[-1] < 1e-3


@pytest.mark.parametrize("alpha", ["auto", 1e-2])
def test_a_warm_start_goes_on_by_iterations_where_weights_are_few(alpha):
    clf = fitted(X, Y, warm_start=True)
    n_epochs, n_steps = clf.n_iter_, clf.t_
    clf.set_params(alpha=alpha).fit(X, Y)
    assert clf.n_iter_ <= n_epochs + (3 if alpha == "auto" else 4)
    assert clf.t_ == (n_steps if alpha == "auto" else 0)
    assert clf.dual_gap(X, Y) < (3e-3 if alpha == "auto" else 1e-4) * frequency_loss(Y)


def outliers(seed, n_features):
    """Five rows ten thousand times as long: curvature and first steps are theirs."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((5000, n_features))
    scores = X @ rng.standard_normal(n_features) + rng.logistic(size=len(X))
    X[:5] *= 1e4
    scores[:5] = X[:5] @ rng.standard_normal(n_features)
    return X, (scores > 0).astype(int)


@pytest.mark.parametrize("seed", range(8))
def test_the_curvature_by_outliers_does_not_say_what_is_left(seed):
    X, y = outliers(seed, 30)
    clf = fitted(X, y)
    exact = fitted(X, y, optimizer="lbfgs", tol=1e-7)
    gain = frequency_loss(y) - exact.loss_curve_[-1]
    gap = clf.loss_curve_[-1] - exact.loss_curve_[-1]
    assert gap < 0.01 * max(gain, 0.03 * frequency_loss(y))


@pytest.mark.parametrize("optimizer", ["auto", "lbfgs"])
@pytest.mark.parametrize("seed", [2, 7])
def test_epochs_that_have_led_astray_are_forgotten(optimizer, seed):
    X, y = outliers(seed, 120)
    clf = fitted(X, y, optimizer=optimizer)
    assert clf.loss_curve_[0] > 100 * frequency_loss(y)  # of an epoch
    assert clf.loss_curve_[-1] < frequency_loss(y)


@pytest.mark.parametrize("kind", ["heavy tails", "apart", "overlapping", "tumours", "wine"])
@pytest.mark.parametrize("alpha", ["auto", 1e-6, 0.1])
def test_second_derivatives_say_when_little_is_left(kind, alpha):
    X, y = table_of(kind)
    clf = fitted(X, y, alpha=alpha)
    exact = fitted(X, y, alpha=alpha, optimizer="lbfgs", tol=1e-7)
    gap = clf.loss_curve_[-1] - exact.loss_curve_[-1]
    objective, baseline = exact.loss_curve_[-1], frequency_loss(y)
    assert gap < min(0.3 * clf.tol * baseline, 0.03 * objective)


def table_of(kind):
    if kind == "heavy tails":
        return heavy_tails(3000, 20, 5)
    if kind == "tumours":
        return X, Y
    if kind == "wine":
        return load_wine(return_X_y=True)
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=1500)
    return rng.standard_normal((1500, 8)) + (5 if kind == "apart" else 0.3) * y[:, None], y


@pytest.mark.parametrize("l1_ratio", [0, 0.5])
@pytest.mark.parametrize("change", ["penalty", "rows"])
@pytest.mark.parametrize("n_features", [10, 100])
def test_a_warm_start_for_another_objective_ends_near_its_optimum(change, n_features, l1_ratio):
    X, y = heavy_tails(6000, n_features, 8)
    first = slice(3000)
    then, alpha = (slice(3000, None), 1e-4) if change == "rows" else (first, 1e-2)
    clf = fitted(X[first], y[first], warm_start=True, alpha=1e-4, l1_ratio=l1_ratio)
    clf.set_params(alpha=alpha).fit(X[then], y[then])
    assert clf.t_ == 0  # from there no steps lead anywhere
    exact = clone(clf).set_params(optimizer="lbfgs", warm_start=False, tol=1e-4)
    exact.fit(X[then], y[then])
    gap = clf.loss_curve_[-1] - exact.loss_curve_[-1]
    assert gap < 3e-3 * frequency_loss(y[then])


def test_equal_seeds_give_equal_bits_and_copies_count_as_weights():
    one, other = fitted(X, Y), fitted(X, Y)
    assert_array_equal(one.coef_, other.coef_)
    weights = np.random.default_rng(0).integers(0, 3, len(X))
    full = {"batch_size": 10**6}
    weighted = SoftmaxClassifier(**full).fit(X, Y, sample_weight=weights)
    copied = fitted(np.repeat(X, weights, axis=0), np.repeat(Y, weights), **full)
    assert weighted.n_iter_ == copied.n_iter_ > weighted.t_
    scale = np.abs(copied.coef_ * copied.scale_).max()
    assert_allclose(
        weighted.coef_ * copied.scale_, copied.coef_ * copied.scale_, atol=1e-6 * scale
    )


@pytest.mark.parametrize("seed", range(5))
def test_rounding_does_not_grow_where_the_penalty_alone_curves(seed):
    rng = np.random.default_rng(seed)
    X, weights = rng.random((15, 30)), rng.integers(0, 5, 15)  # more features than rows
    y = np.arange(15) % 3
    weighted = SoftmaxClassifier(alpha=1e-4).fit(X, y, sample_weight=weights)
    copied = fitted(np.repeat(X, weights, axis=0), np.repeat(y, weights), alpha=1e-4)
    assert weighted.n_iter_ == copied.n_iter_ > 8
    assert_allclose(weighted.decision_function(X), copied.decision_function(X), atol=1e-10)


def test_verbose_says_that_a_bound_has_ended_the_fit(capsys):
    fitted(X, Y, verbose=1)
    assert "the objective is within" in capsys.readouterr().out.splitlines()[-1]
