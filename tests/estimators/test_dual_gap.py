"""The bound on the distance to the optimum must hold, and vanish where the optimum is.

The judge is an objective of its own, brought to its optimum by Newton's method, or
LogisticRegression.
"""

import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.special import log_softmax
from sklearn.datasets import load_breast_cancer, load_iris, load_wine, make_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmarks.step.objective import Objective
from benchmarks.step.sets import LARGE, all_sets
from sksoftmax import SoftmaxClassifier
from sksoftmax.estimators.fit import Fit
from sksoftmax.training import objective

LOADERS = [load_iris, load_wine, load_breast_cancer]
TABLES = [name for name, s in all_sets().items() if s.kind not in ("drawn", LARGE)]
SMALL = {"banknote", "ecoli", "glass", "sonar", "vehicle"}


def fitted(X, y, n_epochs, sample_weight=None, **parameters):
    clf = SoftmaxClassifier(max_iter=n_epochs, tol=None, random_state=0, **parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return clf.fit(X, y, sample_weight)


def set_to(clf, coef, intercept):
    """The same estimator with the coefficients of another one."""
    clf.coef_, clf.intercept_ = coef, intercept
    return clf


def assert_bounds(clf, X, y, judge, optimum):
    value = judge.of_model(*two_rows_at_most(clf))
    bound = clf.dual_gap(X, y)
    assert value - optimum <= bound * (1 + 1e-9) + 1e-12
    assert bound <= value
    return bound


def two_rows_at_most(clf):
    coef = clf.coef_.toarray() if sparse.issparse(clf.coef_) else clf.coef_
    return coef, clf.intercept_


@pytest.mark.tables
@pytest.mark.skipif(not TABLES, reason="SKSOFTMAX_TABLES names no folder of tables")
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in SMALL else pytest.mark.slow) for n in TABLES]
)
def test_it_bounds_the_gap_on_a_table_and_falls(name):
    X, y = all_sets()[name].data
    for alpha in ("auto", 1e-2):
        bounds = []
        for n_epochs in (1, 30):
            clf = fitted(X, y, n_epochs, alpha=alpha)
            judge = Objective(X, y, clf.alpha_)
            if n_epochs == 1:
                optimum, _ = judge.optimum()
            bounds.append(assert_bounds(clf, X, y, judge, optimum))
        assert bounds[1] < bounds[0]


@pytest.mark.parametrize("alpha", [1e-3, 1e-1])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("load", LOADERS)
def test_it_vanishes_at_the_optimum(load, fit_intercept, alpha):
    X, y = load(return_X_y=True)
    clf = fitted(X, y, 3, alpha=alpha, fit_intercept=fit_intercept)
    far = clf.dual_gap(X, y)
    scaler = StandardScaler(with_mean=fit_intercept).fit(X)
    peer = LogisticRegression(
        C=1 / (alpha * len(y)), fit_intercept=fit_intercept, solver="newton-cg", tol=1e-12
    ).fit(scaler.transform(X), y)
    coef = peer.coef_ / scaler.scale_
    offset = coef @ scaler.mean_ if fit_intercept else 0
    near = set_to(clf, coef, peer.intercept_ - offset).dual_gap(X, y)
    assert near < 1e-9 < far


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_weights_are_those_of_the_objective(class_weight, n_classes):
    X, y = make_classification(
        200, 6, n_informative=5, n_redundant=0, n_classes=n_classes, random_state=0
    )
    w = np.random.default_rng(0).integers(0, 4, len(y)).astype(float)
    clf = fitted(X, y, 10, w, alpha=0.01, standardize=False, class_weight=class_weight)
    copies = np.repeat(np.arange(len(y)), w.astype(int))
    bound = clf.dual_gap(X, y, w)
    assert bound == pytest.approx(clf.dual_gap(X[copies], y[copies]), rel=1e-9)
    of_class = np.ones(n_classes)
    if class_weight == "balanced":
        of_class = w.sum() / (n_classes * np.bincount(y, w))
    peer = LogisticRegression(
        C=1 / (0.01 * (w * of_class[y]).sum()),
        class_weight=dict(enumerate(of_class)),
        solver="newton-cg",
        tol=1e-12,
    ).fit(X, y, w)
    assert set_to(clf, peer.coef_, peer.intercept_).dual_gap(X, y, w) < 1e-9 < bound


@pytest.mark.parametrize("learning_rate", ["auto", 0.05])
def test_sparse_rows_and_stored_ones_have_the_bound_of_dense_ones(tmp_path, learning_rate):
    rng = np.random.default_rng(0)
    X = rng.exponential(size=(300, 12)) * (rng.random((300, 12)) < 0.3)
    y = rng.integers(3, size=300)
    clf = fitted(X, y, 5, learning_rate=learning_rate)
    bound = clf.dual_gap(X, y)
    np.save(tmp_path / "X.npy", X)
    assert clf.dual_gap(sparse.csr_array(X), y) == pytest.approx(bound, rel=1e-8)
    clf.set_params(shuffle="blocks")
    stored = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert clf.dual_gap(stored, y) == pytest.approx(bound, rel=1e-8)


def objective_of(clf, X, y):
    """Mean loss and elastic net of a fitted model, in the features' standard deviations."""
    loss = -np.log(clf.predict_proba(X)[np.arange(len(y)), y]).mean()
    scaled = clf.coef_ * X.std(axis=0)
    squared, absolute = (1 - clf.l1_ratio) / 2 * (scaled**2).sum(), np.abs(scaled).sum()
    return loss + clf.alpha * (squared + clf.l1_ratio * absolute)


@pytest.mark.parametrize("learning_rate", ["auto", 0.05])
@pytest.mark.parametrize("kind", [np.array, sparse.csr_array])
@pytest.mark.parametrize("load", LOADERS)
def test_one_pass_says_what_all_constant_models_would(load, kind, learning_rate):
    X, y = load(return_X_y=True)
    weights = np.random.default_rng(0).integers(0, 4, len(y)).astype(float)
    fit = Fit(SoftmaxClassifier(learning_rate=learning_rate, backend="numpy"))
    fit.check(kind(X + 100), y, weights)
    fit.seed = 0
    fit.start()
    of_fit = objective.Objective(fit.run.training)
    n_classes = len(np.unique(y))
    for probabilities in np.random.default_rng(1).dirichlet(np.ones(n_classes), 3):
        constant = np.zeros((n_classes, X.shape[1] + 1))
        constant[:, -1] = np.log(probabilities)
        measured = of_fit.loss_gradient(constant)[1]
        scale = np.abs(X + 100).max(axis=0)
        found = of_fit.gradient_of_constant(probabilities)
        assert np.abs((found - measured)[:, :-1] / scale).max() < 1e-13
        assert np.abs((found - measured)[:, -1]).max() < 1e-13


@pytest.mark.parametrize("l1_ratio", [0.3, 1.0])
@pytest.mark.parametrize("load", LOADERS)
def test_elastic_net(load, l1_ratio):
    X, y = load(return_X_y=True)
    parameters = {"alpha": 0.02, "l1_ratio": l1_ratio, "batch_size": len(y)}
    far, near = (fitted(X, y, n_epochs, **parameters) for n_epochs in (10, 3000))
    assert objective_of(far, X, y) - objective_of(near, X, y) <= far.dual_gap(X, y)
    assert near.dual_gap(X, y) < far.dual_gap(X, y) / 30


def test_it_vanishes_at_the_optimum_of_the_lasso():
    X, y = load_iris(return_X_y=True)
    clf = fitted(X, y, 3000, alpha=0.02, l1_ratio=1, batch_size=len(y))
    assert clf.dual_gap(X, y) < 1e-9


def test_for_very_many_classes_it_holds_without_second_derivatives(monkeypatch):
    X, y = load_wine(return_X_y=True)
    clf = fitted(X, y, 3, alpha=0.01)
    judge = Objective(X, y, 0.01)
    optimum, _ = judge.optimum()
    narrow = assert_bounds(clf, X, y, judge, optimum)
    monkeypatch.setattr(objective, "MOST_CLASSES", 2)
    wide = assert_bounds(clf, X, y, judge, optimum)
    assert narrow < wide


def test_float32_rows_are_measured_in_float64():
    X, y = load_wine(return_X_y=True)
    X = X.astype(np.float32)
    clf = fitted(X, y, 10, alpha=0.01)
    judge = Objective(X.astype(float), y, 0.01)
    optimum, _ = judge.optimum()
    assert_bounds(clf, X, y, judge, optimum)
    assert clf.dual_gap(X, y) == pytest.approx(clf.dual_gap(X.astype(float), y), rel=1e-6)


def test_without_a_penalty_it_is_the_objective():
    X, y = load_iris(return_X_y=True)
    clf = fitted(X, y, 10, alpha=0)
    loss = -np.log(clf.predict_proba(X)[np.arange(len(y)), y]).mean()
    assert clf.dual_gap(X, y) == pytest.approx(loss)


def test_rows_that_lack_a_class():
    X, y = load_iris(return_X_y=True)
    clf = fitted(X, y, 10)
    kept = y < 2
    loss = -np.log(clf.predict_proba(X[kept])[np.arange(kept.sum()), y[kept]]).mean()
    assert 0 < clf.dual_gap(X[kept], y[kept]) < loss + 0.1


def test_it_leaves_the_model_as_it_is_and_needs_one():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(NotFittedError, match="not fitted"):
        SoftmaxClassifier().dual_gap(X, y)
    clf = fitted(X, y, 3).sparsify()
    before = clf.__dict__.copy()
    bound = clf.dual_gap(X, y)
    assert clf.__dict__ == before
    assert clf.densify().dual_gap(X, y) == bound
    with pytest.raises(ValueError, match="y contains"):
        clf.dual_gap(X, y + 1)
    with pytest.raises(ValueError, match="3 features"):
        clf.dual_gap(X[:, :3], y)


@pytest.mark.parametrize("l1_ratio", [0, 0.5, 1])
@pytest.mark.parametrize("alpha", [0, 1e-300, 1e-12, 1e6])
@pytest.mark.parametrize("factor", [0, 1, 1e3, 1e100])
def test_it_holds_for_models_of_any_size(factor, alpha, l1_ratio):
    X, y = np.r_[-2.0, -1, 1, 2, 3][:, None], np.array([0, 0, 1, 1, 2])
    clf = fitted(X, y, 5, alpha=alpha, l1_ratio=l1_ratio)
    clf.coef_, clf.intercept_ = clf.coef_ * factor, clf.intercept_ * factor
    with np.errstate(all="ignore"):
        scaled = clf.coef_ * X.std()
        penalty = (1 - l1_ratio) / 2 * (scaled**2).sum() + l1_ratio * np.abs(scaled).sum()
        scores = clf.decision_function(X)
        loss = -log_softmax(scores, axis=1)[np.arange(5), y].mean()
    bound = clf.dual_gap(X, y)
    assert 0 <= bound <= (loss + alpha * penalty) * (1 + 1e-9)
