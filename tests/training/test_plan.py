"""When a default fit goes over from steps to iterations over all rows.

Where that brings a fit is for ``test_iterations``.
"""

import numpy as np
import pytest
from default_fits import fitted, frequency_loss
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss

from sksoftmax import SoftmaxClassifier
from sksoftmax.model_selection import SoftmaxSearchCV
from sksoftmax.training.plan import EPOCHS_OF_LITTLE_GAIN, LEAST_EPOCHS, MOST_EPOCHS


def telling(n_rows, n_features, n_classes):
    """Rows whose features leave no doubt about the label."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_features))
    return X, (X @ rng.normal(size=(n_features, n_classes))).argmax(axis=1)


def noisy(n_rows, n_features, n_classes):
    """Rows whose features say little about the label."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_features))
    scores = X @ rng.normal(scale=0.3 / np.sqrt(n_features), size=(n_features, n_classes))
    return X, (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)


def behind_factors(n_rows, n_features, loading):
    """Rows of features that are nearly collinear: few factors are behind them all."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, 4)) @ rng.normal(scale=loading, size=(4, n_features))
    X += rng.standard_normal(X.shape)
    scores = X @ rng.standard_normal((n_features, 3))
    return X, (3 * scores / scores.std() + rng.gumbel(size=scores.shape)).argmax(axis=1)


@pytest.mark.parametrize(
    ("n_features", "n_classes", "n_rows", "kind", "n_epochs"),
    [
        (10, 2, 2000, np.array, 1),
        (80, 2, 2000, np.array, 1),
        (80, 2, 2000, sparse.csr_array, 1),
        (150, 3, 20_000, np.array, 4),
        (300, 2, 2000, np.array, 2),
        (300, 3, 2000, np.array, MOST_EPOCHS),  # too many weights for second derivatives
        (300, 3, 20_000, np.array, 2 * MOST_EPOCHS),  # of twice as many steps
        (300, 3, 2000, sparse.csr_array, 2 * MOST_EPOCHS),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_counts_say_how_many_epochs_come_first(n_features, n_classes, n_rows, kind, n_epochs):
    X, y = telling(n_rows, n_features, n_classes)
    clf = fitted(kind(X), y, tol=1e-9, max_iter=n_epochs + 3)
    n_batches = clf.t_ / n_epochs
    assert n_batches == int(n_batches)
    assert 31 <= n_batches <= 79
    assert clf.n_iter_ > n_epochs


@pytest.mark.parametrize(
    ("n_rows", "kind", "fit_intercept", "n_epochs", "n_batches"),
    [
        (2000, np.array, True, EPOCHS_OF_LITTLE_GAIN, 32),
        (2000, sparse.csr_array, True, EPOCHS_OF_LITTLE_GAIN, 32),
        (20_000, np.array, True, 2 * EPOCHS_OF_LITTLE_GAIN, 79),
        (20_000, np.array, False, EPOCHS_OF_LITTLE_GAIN, 79),
    ],
)
def test_fewer_epochs_come_first_where_they_gain_little(
    n_rows, kind, fit_intercept, n_epochs, n_batches
):
    X, y = noisy(n_rows, 300, 3)
    clf = fitted(kind(X), y, fit_intercept=fit_intercept)
    assert clf.t_ == n_epochs * n_batches
    assert clf.n_iter_ > n_epochs
    exact = fitted(kind(X), y, fit_intercept=fit_intercept, optimizer="lbfgs", tol=1e-6)
    assert clf.loss_curve_[-1] - exact.loss_curve_[-1] < 1e-4 * frequency_loss(y)


@pytest.mark.parametrize(("rows", "n_rows"), [(noisy, 20_000), (noisy, 2000), (telling, 2000)])
def test_without_an_intercept_features_far_from_zero_are_learnt(rows, n_rows):
    X, y = rows(n_rows, 200, 3)
    clf = fitted(X + 20, y, fit_intercept=False)
    exact = fitted(X + 20, y, fit_intercept=False, optimizer="lbfgs", tol=1e-5)
    assert clf.loss_curve_[-1] - exact.loss_curve_[-1] < 3e-3 * np.log(3)


@pytest.mark.slow
def test_a_plateau_of_steps_on_collinear_features_is_not_believed_soon():
    X, y = behind_factors(6000, 400, loading=10)
    clf, steps = (fitted(X, y, optimizer=optimizer) for optimizer in ("auto", "sgd"))
    assert steps.n_iter_ < LEAST_EPOCHS <= clf.n_iter_
    exact = fitted(X, y, optimizer="lbfgs", tol=1e-4)
    gaps = [each.loss_curve_[-1] - exact.loss_curve_[-1] for each in (clf, steps)]
    assert gaps[0] < 5e-3 * np.log(3) < gaps[1]


def test_a_plateau_of_first_iterations_is_not_believed_while_much_may_be_left():
    X, y = behind_factors(4000, 300, loading=20)
    clf = fitted(X, y)
    exact = fitted(X, y, optimizer="lbfgs", tol=1e-4)
    assert clf.loss_curve_[-1] - exact.loss_curve_[-1] < 3e-3 * np.log(3)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_small_batches_put_no_iteration_off():
    X, y = telling(2000, 700, 9)
    clf = fitted(X, y, batch_size=16, tol=1e-9, max_iter=MOST_EPOCHS + 3)
    assert clf.t_ == MOST_EPOCHS * 125
    assert clf.n_iter_ > MOST_EPOCHS


def test_a_large_tol_is_given_its_few_epochs():
    X, y = load_digits(return_X_y=True)
    clf, steps = (fitted(X, y, tol=3e-2, optimizer=o) for o in ("auto", "sgd"))
    assert clf.n_iter_ == steps.n_iter_ < LEAST_EPOCHS
    assert_array_equal(clf.coef_, steps.coef_)


def test_a_candidate_goes_over_where_a_fit_does():
    X, y = noisy(1000, 200, 3)
    alphas = [1e-3, 1e-1, 3.0]  # of which some gain more by their first epochs than others
    training, others = np.arange(800), np.arange(800, 1000)
    clf = SoftmaxClassifier(random_state=0, backend="numpy")
    search = SoftmaxSearchCV(
        clf,
        {"alpha": alphas},
        cv=[(training, others)],
        scoring="neg_log_loss",
        refit=False,
        return_train_score=True,
    ).fit(X, y)
    alone = [fitted(X[training], y[training], alpha=alpha) for alpha in alphas]
    scores = [-log_loss(y[training], each.predict_proba(X[training])) for each in alone]
    assert_allclose(search.cv_results_["mean_train_score"], scores, rtol=1e-9)
