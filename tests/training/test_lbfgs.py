"""A fit that goes to the optimum must get there, say so, and be a fit like any other.

The judges are LogisticRegression and the bound that no fit can talk itself out of.
"""

import re
import warnings

import numpy as np
import pytest
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.preprocessing import StandardScaler

from benchmarks.step.objective import Objective
from benchmarks.step.sets import LARGE, all_sets
from sksoftmax import SoftmaxClassifier, SoftmaxClassifierCV
from sksoftmax.model_selection import SoftmaxSearchCV
from sksoftmax.training.plan import FIRST_EPOCHS

LOADERS = [load_iris, load_wine, load_breast_cancer]
TABLES = [name for name, s in all_sets().items() if s.kind not in ("drawn", LARGE)]
SMALL = {"banknote", "ecoli", "glass", "sonar", "vehicle"}
X, Y = load_iris(return_X_y=True)


def to_the_optimum(**parameters):
    defaults = {"alpha": 0.02, "tol": 1e-9, "random_state": 0, "backend": "numpy"}
    return SoftmaxClassifier(optimizer="lbfgs", **{**defaults, **parameters})


def frequency_loss(y):
    share = np.unique(y, return_counts=True)[1] / len(y)
    return -(share * np.log(share)).sum()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("load", LOADERS)
def test_coefficients_are_those_of_logistic_regression(load, fit_intercept, weighted):
    X, y = load(return_X_y=True)
    w = np.random.default_rng(0).integers(0, 4, len(y)).astype(float) if weighted else None
    clf = to_the_optimum(fit_intercept=fit_intercept, tol=1e-13).fit(X, y, w)
    scaler = StandardScaler(with_mean=fit_intercept).fit(X, sample_weight=w)
    total = len(y) if w is None else w.sum()
    peer = LogisticRegression(
        C=1 / (0.02 * total), fit_intercept=fit_intercept, solver="newton-cg", tol=1e-12
    ).fit(scaler.transform(X), y, w)
    assert_allclose(clf.coef_ * scaler.scale_, peer.coef_, atol=1e-5)
    assert_allclose(clf.predict_proba(X), peer.predict_proba(scaler.transform(X)), atol=1e-6)


@pytest.mark.tables
@pytest.mark.skipif(not TABLES, reason="SKSOFTMAX_TABLES names no folder of tables")
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in SMALL else pytest.mark.slow) for n in TABLES]
)
def test_a_table_to_a_millionth(name):
    X, y = all_sets()[name].data
    clf = SoftmaxClassifier(optimizer="lbfgs", tol=1e-6, random_state=0).fit(X, y)
    judge = Objective(X, y, clf.alpha_)
    optimum, _ = judge.optimum()
    gap = judge.of_model(clf.coef_, clf.intercept_) - optimum
    bound = clf.dual_gap(X, y)
    assert gap <= bound + 1e-12
    assert bound <= 1.001e-6 * frequency_loss(y)


@pytest.mark.parametrize("l1_ratio", [0.3, 1.0])
@pytest.mark.parametrize("load", LOADERS)
def test_elastic_net_is_that_of_logistic_regression(load, l1_ratio):
    X, y = load(return_X_y=True)
    tol = 1e-9 if l1_ratio < 1 else 1e-6  # without a square the bound falls like the gradient
    clf = to_the_optimum(l1_ratio=l1_ratio, tol=tol).fit(X, y)
    scaler = StandardScaler().fit(X)
    peer = LogisticRegression(
        C=1 / (0.02 * len(y)), l1_ratio=l1_ratio, solver="saga", tol=1e-9, max_iter=100_000
    )
    if "penalty" in peer.get_params() and peer.penalty == "l2":  # before scikit-learn 1.8
        peer.set_params(penalty="elasticnet")
    peer.fit(scaler.transform(X), y)
    assert_allclose(clf.predict_proba(X), peer.predict_proba(scaler.transform(X)), atol=1e-4)
    assert clf.dual_gap(X, y) <= 1.001 * tol * frequency_loss(y)
    assert 0 < (clf.coef_ == 0).mean() < 1
    if l1_ratio < 1 or len(clf.coef_) == 1:  # else a shift of all classes may cost nothing
        assert_array_equal(clf.coef_ == 0, peer.coef_ == 0)


@pytest.mark.parametrize("l1_ratio", [0, 0.5])
@pytest.mark.parametrize("tol", [3e-3, 1e-5])
def test_a_fit_ends_where_its_tolerance_is_certified(tol, l1_ratio):
    X, y = load_digits(return_X_y=True)
    clf = to_the_optimum(tol=tol, l1_ratio=l1_ratio, alpha=1e-3).fit(X, y)
    assert clf.n_iter_ < 1000
    assert clf.dual_gap(X, y) <= 1.001 * tol * frequency_loss(y)
    assert clf.n_iter_ == len(clf.loss_curve_)
    assert clf.loss_curve_[-1] == min(clf.loss_curve_)
    n_batches = -(-len(X) // 64)
    assert clf.t_ == FIRST_EPOCHS * n_batches  # iterations are no steps


def test_a_fit_that_is_near_enough_after_sgd_takes_no_iteration():
    X, y = load_digits(return_X_y=True)
    clf = to_the_optimum(tol=0.5).fit(X, y)
    plain = SoftmaxClassifier(
        alpha=0.02, tol=None, max_iter=clf.n_iter_, random_state=0, backend="numpy"
    ).fit(X, y)
    assert_array_equal(clf.coef_, plain.coef_)
    assert clf.t_ == plain.t_ > 0


def test_where_steps_are_tiny_no_epoch_comes_first():
    seeds = [to_the_optimum(tol=1e3, random_state=seed).fit(X, Y) for seed in (0, 1)]
    assert [clf.n_iter_ for clf in seeds] == [1, 1]
    assert seeds[0].coef_.any()
    assert_array_equal(seeds[0].coef_, seeds[1].coef_)


def test_max_iter_counts_epochs_and_iterations_and_warns_with_the_bound():
    clf = to_the_optimum(max_iter=8)
    with pytest.warns(ConvergenceWarning, match="max_iter=8 reached before tol=1e-09") as told:
        clf.fit(X, Y)
    assert told[0].filename == __file__
    assert clf.n_iter_ == 8
    bound = float(re.search(r"within (\S+) of its least", str(told[0].message)).group(1))
    assert bound == pytest.approx(clf.dual_gap(X, Y), rel=0.1)
    one = to_the_optimum(max_iter=1, tol=None).fit(X, Y)
    assert one.n_iter_ == 1
    assert one.coef_.any()


def test_a_tolerance_beyond_rounding_warns_and_none_does_not():
    with pytest.warns(ConvergenceWarning, match="L-BFGS has found nothing better"):
        short = to_the_optimum(tol=0).fit(X, Y)
    clf = to_the_optimum(tol=None).fit(X, Y)
    assert_array_equal(clf.coef_, short.coef_)
    assert clf.dual_gap(X, Y) < 1e-10


def test_without_a_penalty_nothing_is_certified():
    X, y = load_wine(return_X_y=True)
    rng = np.random.default_rng(0)
    y = rng.permutation(y)  # or the rows can be separated, and the objective falls to zero
    clf = to_the_optimum(alpha=0)
    with pytest.warns(ConvergenceWarning, match="Without a penalty the bound is the objective"):
        clf.fit(X, y)
    peer = LogisticRegression(C=1e12, tol=1e-10, solver="newton-cg", max_iter=1000)
    Z = StandardScaler().fit_transform(X)
    assert_allclose(clf.predict_proba(X), peer.fit(Z, y).predict_proba(Z), atol=1e-4)


def test_what_needs_chunks_or_validation_rows_is_refused():
    clf = to_the_optimum()
    assert not hasattr(clf, "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit") as raised:
        clf.partial_fit(X, Y, classes=[0, 1, 2])
    assert "needs all rows at once" in str(raised.value.__cause__)
    with pytest.raises(ValueError, match="early_stopping=True stops short of the optimum"):
        to_the_optimum(early_stopping=True).fit(X, Y)
    clf.fit(X, Y).set_params(optimizer="sgd")
    n_epochs = clf.n_iter_
    assert clf.partial_fit(X, Y).n_iter_ == n_epochs + 1
    assert clf.score(X, Y) > 0.9


def test_a_warm_start_goes_on_from_the_model():
    cold = to_the_optimum(tol=1e-7).fit(X, Y)
    warm = to_the_optimum(tol=1e-7, warm_start=True).fit(X, Y)
    n_epochs = warm.n_iter_
    assert warm.fit(X, Y).n_iter_ == n_epochs
    assert_allclose(warm.coef_, cold.coef_, rtol=1e-12)
    warm.set_params(alpha=0.018).fit(X, Y)
    cold.set_params(alpha=0.018).fit(X, Y)
    assert warm.n_iter_ - n_epochs < cold.n_iter_
    assert warm.dual_gap(X, Y) <= 1.001e-7 * np.log(3)


@pytest.mark.parametrize("l1_ratio", [0, 0.5])
def test_sparse_stored_and_float32_rows(tmp_path, l1_ratio):
    rng = np.random.default_rng(0)
    X = rng.exponential(size=(300, 12)) * (rng.random((300, 12)) < 0.3)
    y = rng.integers(3, size=300)
    np.save(tmp_path / "X.npy", X)
    expected = to_the_optimum(l1_ratio=l1_ratio, tol=1e-11).fit(X, y).predict_proba(X)
    for rows, parameters in (
        (sparse.csr_array(X), {}),
        (np.load(tmp_path / "X.npy", mmap_mode="r"), {"shuffle": "blocks"}),
        (X.astype(np.float32), {}),
        (X, {"learning_rate": 0.1}),
        (X, {"class_weight": {0: 2, 1: 2, 2: 2}}),
    ):
        clf = to_the_optimum(l1_ratio=l1_ratio, tol=1e-11, **parameters).fit(rows, y)
        assert clf.coef_.dtype == (np.float32 if rows.dtype == np.float32 else np.float64)
        assert_allclose(clf.predict_proba(X), expected, atol=2e-5)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_constant_features_keep_the_weight_zero(fit_intercept):
    with_constant = np.column_stack([X, np.full(len(X), 0.3)])
    clf, expected = (
        to_the_optimum(fit_intercept=fit_intercept).fit(rows, Y) for rows in (with_constant, X)
    )
    assert_array_equal(clf.coef_[:, -1], 0)
    assert_allclose(clf.coef_[:, :-1], expected.coef_, rtol=1e-10)
    assert clf.dual_gap(with_constant, Y) == pytest.approx(expected.dual_gap(X, Y), rel=1e-3)


def random_rows(n_rows, n_features, density, rng):
    X = rng.random((n_rows, n_features))
    return sparse.csr_array(np.where(rng.random(X.shape) < density, X, 0))


def test_weights_of_features_that_no_row_holds_any_more_are_penalised():
    rng = np.random.default_rng(0)
    rows = random_rows(300, 2_000, 0.02, rng)
    y = np.arange(300) % 3
    clf = to_the_optimum(alpha=1e-2, warm_start=True).fit(rows, y)
    held = np.arange(2_000) < 200
    clf.fit(sparse.csr_array(rows.multiply(held)), y)
    assert np.abs(clf.coef_[:, held]).max() > 0.1
    assert_allclose(clf.coef_[:, ~held], 0, atol=1e-4)


def test_rows_of_raw_features():
    clf = to_the_optimum(standardize=False, tol=1e-11).fit(X, Y)
    peer = LogisticRegression(C=1 / (0.02 * len(Y)), solver="newton-cg", tol=1e-12).fit(X, Y)
    assert_allclose(clf.coef_, peer.coef_, atol=1e-5)


def of_unequal_units(n_features, n_classes, offset, kind=np.array):
    """Features that tell alike, in units of which the largest is ten thousand smallest ones."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, n_features)) * (rng.random((500, n_features)) < 0.5)
    scores = X @ rng.normal(size=(n_features, n_classes)) * 3 / np.sqrt(n_features)
    y = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    return kind((X + offset) * np.logspace(-2, 2, n_features)), y


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("kind", [np.array, sparse.csr_array])
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize(("n_features", "l1_ratio"), [(10, 0.5), (300, 0), (300, 0.5)], ids=str)
def test_raw_features_of_unequal_units(n_features, l1_ratio, n_classes, kind, fit_intercept):
    offset = 3 if fit_intercept and kind is np.array else 0
    X, y = of_unequal_units(n_features, n_classes, offset, kind)
    given = {"standardize": False, "fit_intercept": fit_intercept, "l1_ratio": l1_ratio}
    exact = to_the_optimum(tol=1e-6, max_iter=500, **given).fit(X, y)  # or it warns
    assert exact.dual_gap(X, y) <= 1.001e-6 * frequency_loss(y)
    near = (
        to_the_optimum(max_iter=200, **given).set_params(optimizer="auto", tol=1e-3).fit(X, y)
    )
    assert near.loss_curve_[-1] - exact.loss_curve_[-1] < 3e-3 * frequency_loss(y)


@pytest.mark.parametrize("load", LOADERS)
def test_elastic_net_of_raw_tables(load):
    X, y = load(return_X_y=True)
    clf = to_the_optimum(standardize=False, l1_ratio=0.5, tol=1e-6, max_iter=200).fit(X, y)
    assert clf.dual_gap(X, y) <= 1.001e-6 * frequency_loss(y)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_a_constant_raw_feature_weighs_what_the_penalty_lets_it(fit_intercept):
    with_constant = np.column_stack([X, np.full(len(X), 300.0)])
    given = {"standardize": False, "fit_intercept": fit_intercept, "tol": 1e-9}
    clf = to_the_optimum(**given).fit(with_constant, Y)
    peer = LogisticRegression(
        C=1 / (0.02 * len(Y)), fit_intercept=fit_intercept, solver="newton-cholesky", tol=1e-12
    ).fit(with_constant, Y)
    assert_allclose(clf.coef_, peer.coef_, atol=1e-4)


def test_rare_raw_features_are_not_scaled_up_beyond_the_penalty():
    # A thousand words, most of them in few texts: by their spread alone 23 iterations.
    rng = np.random.default_rng(0)
    words = np.minimum(rng.geometric(0.01, size=(400, 20)) - 1, 999)
    rows = sparse.csr_array(
        (np.ones(words.size), (np.repeat(np.arange(400), 20), words.ravel())), (400, 1000)
    )
    y = (words < 30).sum(axis=1) > rng.integers(8, size=400)
    clf = to_the_optimum(standardize=False, alpha=0.01, tol=1e-5).fit(rows, y)
    assert clf.n_iter_ < 15


def test_one_class_without_rows_that_count_has_scales():
    clf = to_the_optimum(standardize=False, class_weight={0: 0, 1: 0}, tol=1e-6).fit(X, Y)
    assert np.isfinite(clf.coef_).all()


def test_two_fits_have_the_same_bits():
    first, second = (to_the_optimum(l1_ratio=0.1).fit(X, Y) for _ in range(2))
    assert_array_equal(first.coef_, second.coef_)
    assert first.loss_curve_ == second.loss_curve_


def test_verbose_prints_a_line_an_iteration_and_the_bound(capsys):
    clf = to_the_optimum(verbose=2).fit(X, Y)
    _, *lines, last = capsys.readouterr().out.splitlines()
    losses = [float(re.search(r"loss +(\S+)", line).group(1)) for line in lines]
    assert losses == pytest.approx(clf.loss_curve_, abs=1e-6)
    assert re.fullmatch(r"stopped: the objective is within \S+ of its least value, .*", last)


def test_searches_take_each_candidate_to_its_optimum():
    grid = {"alpha": [0.01, 0.1], "optimizer": ["sgd", "lbfgs"]}
    search = SoftmaxSearchCV(to_the_optimum(tol=1e-3), grid, cv=2).fit(X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    chosen = SoftmaxClassifierCV(alphas=[0.01, 0.1], optimizer="lbfgs", cv=2, tol=1e-8).fit(
        X, Y
    )
    alone = to_the_optimum(alpha=chosen.alpha_, tol=1e-8).fit(X, Y)
    assert_allclose(chosen.coef_, alone.coef_, atol=1e-3)


def iterations_and_gap(clf, X, y):
    return {"iterations": clf.n_iter_, "gap": clf.dual_gap(X, y)}


def test_a_path_of_penalties_starts_each_fit_from_the_last():
    X, y = load_wine(return_X_y=True)
    grid = {"alpha": [0.01, 1, 1e-4, 1e-3, 0.1, 0.03], "l1_ratio": [0, 0.5]}
    parameters = {"scoring": iterations_and_gap, "refit": False, "cv": 2}
    path, alone = (
        search(to_the_optimum(tol=1e-6), grid, return_train_score=True, **parameters)
        .fit(X, y)
        .cv_results_
        for search in (SoftmaxSearchCV, GridSearchCV)
    )
    n_iterations = path["mean_test_iterations"]
    assert n_iterations.sum() < 0.8 * alone["mean_test_iterations"].sum()
    strongest = [i for i, each in enumerate(path["params"]) if each["alpha"] == 1]
    assert_array_equal(n_iterations[strongest], alone["mean_test_iterations"][strongest])
    for fold, (train, _) in enumerate(StratifiedKFold(2).split(X, y)):
        most = 1.001e-6 * frequency_loss(y[train])
        assert path[f"split{fold}_train_gap"].max() <= most


def test_a_path_does_not_depend_on_the_order_of_penalties_or_on_processes():
    parameters = {"optimizer": "lbfgs", "cv": 2, "tol": 1e-5, "random_state": 0}
    alphas = [0.1, 1e-3, 1e-2]
    one = SoftmaxClassifierCV(alphas=alphas, **parameters).fit(X, Y).coefs_paths_
    ordered = SoftmaxClassifierCV(alphas=sorted(alphas), **parameters).fit(X, Y)
    assert_array_equal(ordered.coefs_paths_[:, [2, 0, 1]], one)
    with parallel_config("threading"):
        two = SoftmaxClassifierCV(alphas=alphas, n_jobs=4, **parameters).fit(X, Y)
    assert_array_equal(two.coefs_paths_, one)


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
@pytest.mark.parametrize(
    ("name", "values"), [("alpha", [-1, 0.1]), ("early_stopping", [True, False])]
)
def test_a_path_goes_on_without_a_fit_that_fails(name, values):
    grid = {"l1_ratio": [0.2], name: values}
    search = SoftmaxSearchCV(to_the_optimum(tol=1e-6), grid, cv=2, refit=False)
    with pytest.warns(FitFailedWarning, match="2 fits failed out of a total of 4"):
        search.fit(X, Y)
    assert_array_equal(np.isnan(search.cv_results_["mean_test_score"]), [True, False])


def test_an_error_leaves_the_model_as_it_was():
    clf = to_the_optimum().fit(X, Y)
    before = clf.__dict__.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf.set_params(tol=0)
        with pytest.raises(ConvergenceWarning):
            clf.fit(X, Y)
    assert clf.coef_ is before["coef_"]
    assert clf.n_iter_ == before["n_iter_"]


@pytest.mark.parametrize(("n_features", "n_epochs"), [(200, 5), (100, 1)])
def test_epochs_of_sgd_come_first_where_steps_are_not_tiny(n_features, n_epochs):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((200, n_features)), rng.integers(3, size=200)
    parameters = {"alpha": 0.02, "random_state": 0, "backend": "numpy"}
    clf = to_the_optimum(alpha=0.02).fit(X, y)
    plain = SoftmaxClassifier(tol=None, max_iter=n_epochs + 1, **parameters).fit(X, y)
    assert clf.loss_curve_[:n_epochs] == plain.loss_curve_[:n_epochs]
    assert clf.loss_curve_[n_epochs] != plain.loss_curve_[n_epochs]


def test_no_epoch_comes_first_on_sparse_rows():
    rng = np.random.default_rng(0)
    rows, y = sparse.csr_array(rng.standard_normal((200, 200))), rng.integers(3, size=200)
    one, other = (to_the_optimum(tol=1e3, random_state=seed).fit(rows, y) for seed in (0, 1))
    assert_array_equal(one.coef_, other.coef_)


def test_few_weights_take_few_iterations():
    # Without second derivatives they are more than fifty.
    X, y = load_breast_cancer(return_X_y=True)
    assert to_the_optimum(alpha=1e-4, tol=1e-6).fit(X, y).n_iter_ < 30


@pytest.mark.parametrize("alpha", [0, 1e-4])
def test_nothing_is_added_to_what_all_classes_share(alpha):
    clf = to_the_optimum(alpha=alpha, tol=None, max_iter=100).fit(X, Y)
    assert_allclose(clf.coef_.sum(axis=0), 0, atol=1e-12 * np.abs(clf.coef_).max())
    assert abs(clf.intercept_.sum()) < 1e-10 * np.abs(clf.intercept_).max()


def test_rows_whose_squares_overflow_have_no_metric_and_raise_nothing():
    clf = to_the_optimum(standardize=False, alpha=0, tol=None).fit(X * 1e160, Y)
    assert np.isfinite(clf.loss_curve_).all()
    assert np.isfinite(clf.coef_).all()
