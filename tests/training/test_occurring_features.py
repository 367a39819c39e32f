"""Sparse rows of many columns, few of which occur: a fit is that of these, among zeros."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sksoftmax import SoftmaxClassifier, list_backends
from sksoftmax.data.occurring import OccurringFeatures, occurring_features
from sksoftmax.model_selection import SoftmaxSearchCV

BACKENDS = [b.name for b in list_backends() if b.available and b.name in ("numba", "numpy")]
N_FEATURES, N_OCCURRING = 4_000, 300
RNG = np.random.default_rng(0)
OCCURRING = np.sort(RNG.choice(N_FEATURES, N_OCCURRING, replace=False))
SETTINGS = {"random_state": 0, "max_iter": 8, "tol": None}


def drawn(n_rows, n_features=N_OCCURRING):
    X = RNG.random((n_rows, n_features))
    return sparse.csr_array(np.where(RNG.random(X.shape) < 0.1, X, 0))


def labelled(rows, n_classes=3):
    y = (rows[:, :5].sum(axis=1) + 0.3 * RNG.normal(size=rows.shape[0]) > 0.3).astype(int)
    return np.where(RNG.random(len(y)) < 0.3, n_classes - 1, y)


def among_others(rows, columns=OCCURRING):
    shape = rows.shape[0], N_FEATURES
    return sparse.csr_array((rows.data, columns[rows.indices], rows.indptr), shape)


ROWS, MORE = drawn(400), drawn(200)
Y, OF_MORE = labelled(ROWS), labelled(MORE)


def assert_same_model(clf, expected, columns=OCCURRING):
    """Bit for bit: what is trained must not depend on columns that do not occur."""
    assert clf.n_features_in_ == clf.coef_.shape[1] == N_FEATURES
    others = np.delete(np.arange(N_FEATURES), columns)
    assert_array_equal(clf.coef_[:, columns], expected.coef_)
    assert_array_equal(clf.intercept_, expected.intercept_)
    assert_array_equal(clf.mean_[columns], expected.mean_)
    assert_array_equal(clf.scale_[columns], expected.scale_)
    assert not clf.coef_[:, others].any()
    assert not clf.mean_[others].any()
    assert_array_equal(clf.scale_[others], 1)
    assert clf.loss_curve_ == expected.loss_curve_


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"tol": 1e-3, "max_iter": 100},
        {"optimizer": "lbfgs", "max_iter": 30, "alpha": 1e-3},
        {"optimizer": "lbfgs", "max_iter": 30, "alpha": 1e-3, "l1_ratio": 0.5},
        {"optimizer": "adam", "standardize": False},
        {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "l1_ratio": 0.5},
        {"early_stopping": True, "fit_intercept": False},
    ],
    ids=str,
)
def test_a_fit_is_that_of_the_features_that_occur(parameters, n_classes, backend):
    y = labelled(ROWS, n_classes)
    narrow, wide = (
        SoftmaxClassifier(backend=backend, **{**SETTINGS, **parameters}).fit(X, y)
        for X in (ROWS, among_others(ROWS))
    )
    assert_same_model(wide, narrow)
    assert_array_equal(wide.predict_proba(among_others(MORE)), narrow.predict_proba(MORE))


def test_held_out_rows_have_features_too():
    clf = SoftmaxClassifier(early_stopping=True, random_state=0)
    alone = np.arange(N_FEATURES - N_OCCURRING, N_FEATURES)
    held_out = among_others(MORE, alone)
    clf.fit(among_others(ROWS), Y, X_val=held_out, y_val=OF_MORE)
    losses = -np.log(clf.predict_proba(held_out)[np.arange(len(OF_MORE)), OF_MORE])
    assert losses.mean() == pytest.approx(clf.best_loss_, rel=1e-6)


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lbfgs"])
def test_training_goes_on(optimizer, stored):
    settings = {**SETTINGS, "optimizer": optimizer, "warm_start": True, "backend": "numpy"}
    narrow = SoftmaxClassifier(**settings).fit(ROWS, Y)
    wide = SoftmaxClassifier(**settings).fit(among_others(ROWS), Y)
    if stored:
        wide = pickle.loads(pickle.dumps(wide))
    assert_same_model(wide.fit(among_others(ROWS), Y), narrow.fit(ROWS, Y))
    assert_same_model(wide.fit(among_others(MORE), OF_MORE), narrow.fit(MORE, OF_MORE))
    if optimizer == "lbfgs":
        return
    narrow.partial_fit(MORE, OF_MORE)
    wide.partial_fit(among_others(MORE), OF_MORE)
    assert_allclose(wide.coef_[:, OCCURRING], narrow.coef_, rtol=1e-9, atol=1e-12)
    assert_allclose(wide.mean_[OCCURRING], narrow.mean_, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:The objective has ended")  # after one epoch on other rows
def test_a_warm_start_keeps_the_weights_of_features_that_occur_no_more():
    clf = SoftmaxClassifier(warm_start=True, **SETTINGS).fit(among_others(ROWS), Y)
    before = clf.coef_[:, OCCURRING]
    late = np.delete(np.arange(N_FEATURES), OCCURRING)[:N_OCCURRING]
    clf.set_params(max_iter=1).fit(among_others(MORE, late), OF_MORE)
    assert clf.coef_[:, late].any()
    kept = np.linalg.norm(clf.coef_[:, OCCURRING]) / np.linalg.norm(before)
    assert kept > 0.5


@pytest.mark.parametrize("way", ["partial_fit", "fit"])
def test_features_that_occur_later_are_learnt(way):
    clf = SoftmaxClassifier(random_state=0, warm_start=True, alpha=1e-3)
    clf.fit(among_others(ROWS), Y)
    before = clf.coef_
    late = np.delete(np.arange(N_FEATURES), OCCURRING)[:N_OCCURRING]
    rows = among_others(MORE, late)
    for _ in range(20):
        getattr(clf, way)(rows, OF_MORE)
    assert clf.score(rows, OF_MORE) > 0.8
    # Nothing but the penalty moves the others now.
    assert np.abs(clf.coef_[:, OCCURRING]).sum() < np.abs(before[:, OCCURRING]).sum()
    assert clf.coef_[:, OCCURRING].any() or way == "fit"


def test_a_search_scores_and_refits_as_that_of_the_features_that_occur():
    grid = {"alpha": [1e-4, 1e-2, 1]}
    narrow, wide = (
        SoftmaxSearchCV(SoftmaxClassifier(random_state=0), grid, scoring="neg_log_loss")
        for _ in range(2)
    )
    narrow.fit(ROWS, Y)
    wide.fit(among_others(ROWS), Y)
    scores = (search.cv_results_["mean_test_score"] for search in (wide, narrow))
    assert_allclose(*scores, rtol=1e-6)
    assert_same_model(wide.best_estimator_, narrow.best_estimator_)


def test_a_saved_model_has_little_beside_its_coefficients():
    narrow = SoftmaxClassifier(**SETTINGS).fit(ROWS, Y)
    wide = SoftmaxClassifier(**SETTINGS).fit(among_others(ROWS), Y)
    shown = wide.coef_.nbytes + wide.mean_.nbytes + wide.scale_.nbytes
    assert len(pickle.dumps(wide)) < shown + len(pickle.dumps(narrow)) + 8 * N_OCCURRING + 1_000


def test_rows_without_any_element_are_fitted():
    X = sparse.csr_array((6, N_FEATURES))
    clf = SoftmaxClassifier(random_state=0).fit(X, [0, 0, 0, 0, 1, 1])
    assert_array_equal(clf.coef_, np.zeros((1, N_FEATURES)))
    assert_allclose(clf.predict_proba(X)[0], [2 / 3, 1 / 3], atol=0.02)


def test_verbose_says_how_many_features_occur(capsys):
    SoftmaxClassifier(verbose=1, **SETTINGS).fit(among_others(ROWS), Y)
    assert "300 of 4,000 features" in capsys.readouterr().out


@st.composite
def sparse_rows(draw):
    n_rows, n_features = draw(st.integers(1, 5)), draw(st.integers(1, 40))
    numbers = st.tuples(st.integers(0, n_rows - 1), st.integers(0, n_features - 1))
    places = draw(st.lists(numbers, unique=True, max_size=12))
    values = np.arange(1.0, len(places) + 1)
    where = ([row for row, _ in places], [column for _, column in places])
    return sparse.csr_array((values, where), (n_rows, n_features))


@given(X=sparse_rows(), n_classes=st.integers(2, 5))
def test_rows_lose_only_columns_of_zeros(X, n_classes):
    occurring, dense = occurring_features([X], n_classes), X.toarray()
    n_occurring = max(1, dense.any(axis=0).sum())
    assert (occurring is None) == (2 * n_occurring > X.shape[1])
    if occurring is None:
        return
    narrow = occurring.of_rows(X)
    assert narrow.shape[1] == n_occurring
    assert X.nnz == 0 or np.shares_memory(narrow.data, X.data)
    assert_array_equal(occurring.widened(narrow.toarray()), dense)
    assert_array_equal(occurring.narrowed(dense), narrow.toarray())


def test_further_columns_are_taken_along():
    occurring = OccurringFeatures(np.array([1, 3]), 5)
    wide = occurring.widened(np.array([[1.0, 2.0, 9.0]]), others=7.0)
    assert_array_equal(wide, [[7, 1, 7, 2, 7, 9]])
    assert_array_equal(occurring.narrowed(wide), [[1, 2, 9]])


def test_dense_rows_and_rows_of_common_features_stay_as_they_are():
    assert occurring_features([np.zeros((3, 5))], 2) is None
    assert occurring_features([ROWS], 2) is None
    few_columns = sparse.csr_array(np.eye(1, 10).repeat(1_000, axis=0))
    assert occurring_features([few_columns], 2) is None  # their indices would cost more
