"""Fits that are trained together: each is the fit that it would have been alone."""

import tracemalloc
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_info, threadpool_limits

from sksoftmax import SoftmaxClassifier, get_backend, list_backends
from sksoftmax.model_selection.joint_fit import JointFits
from sksoftmax.model_selection.sharing import MAY_DIFFER_IN_A_STACK
from sksoftmax.training import passes, stack

CPU_BACKENDS = [b.name for b in list_backends() if b.available and b.name in ("numba", "numpy")]
ALPHAS = (0, 1e-4, 1e-2, 1, 30)


def fitted(estimators, X, y, **fit_params):
    """Estimators by index, after all fits have ended without an error."""
    fits = [fit for some in JointFits(estimators, X, y, fit_params).run() for fit in some]
    assert sorted(fit.index for fit in fits) == list(range(len(estimators)))
    assert [fit.error for fit in fits] == [None] * len(fits)
    return estimators


def assert_as_alone(estimator, X, y, **fit_params):
    alone = SoftmaxClassifier(**estimator.get_params()).fit(X, y, **fit_params)
    assert vars(alone).keys() == vars(estimator).keys()
    assert estimator.n_iter_ == alone.n_iter_
    assert estimator.t_ == alone.t_
    assert estimator.step_size_ == pytest.approx(alone.step_size_, rel=1e-9)
    assert estimator.best_iter_ == alone.best_iter_
    assert estimator.backend_ == alone.backend_
    scale = np.abs(alone.coef_).max()
    np.testing.assert_allclose(estimator.coef_, alone.coef_, rtol=0, atol=1e-10 * scale)
    np.testing.assert_allclose(estimator.intercept_, alone.intercept_, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(estimator.loss_curve_, alone.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(estimator.mean_, alone.mean_)


def stacks_made(monkeypatch):
    """The numbers of models of the stacks that are made from now on."""
    sizes = []
    make = stack.Stack.__init__

    def counted(self, trainings):
        sizes.append(len(trainings))
        make(self, trainings)

    monkeypatch.setattr(stack.Stack, "__init__", counted)
    return sizes


@pytest.mark.parametrize("backend", CPU_BACKENDS)
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"optimizer": "adam"},
        {"nesterov": True},
        {"momentum": 0},
        {"average": False},
        {"l1_ratio": 0.5, "momentum": 0.5},  # more would amplify rounding
        {"schedule": "adaptive"},
        {"schedule": "cosine", "max_iter": 12},
        {"batch_size": 1000},
        {"standardize": False, "learning_rate": 1e-6},
        {"fit_intercept": False},
        {"shuffle": False},
        {"class_weight": "balanced"},
        {"early_stopping": True},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_each_model_is_as_if_fitted_alone(backend, parameters):
    X, y = load_wine(return_X_y=True)
    parameters = {"batch_size": 32, "max_iter": 60, "optimizer": "sgd", **parameters}
    estimators = fitted(
        [
            SoftmaxClassifier(alpha=a, random_state=3, backend=backend, **parameters)
            for a in ALPHAS
        ],
        X,
        y,
    )
    for estimator in estimators:
        assert_as_alone(estimator, X, y)


@pytest.mark.parametrize("backend", CPU_BACKENDS)
@pytest.mark.parametrize("parameters", [{}, {"batch_size": 1000}, {"l1_ratio": 0.5}], ids=str)
@pytest.mark.parametrize("load", [load_wine, load_iris])
def test_iterations_follow_the_steps_of_a_stack(load, parameters, backend, monkeypatch):
    X, y = load(return_X_y=True)
    sizes = stacks_made(monkeypatch)
    alphas = [0.1, 1e-2, 1e-3]  # without any, rounding of the steps would be amplified
    estimators = fitted(
        [
            SoftmaxClassifier(alpha=alpha, random_state=3, backend=backend, **parameters)
            for alpha in alphas
        ],
        X,
        y,
    )
    assert sizes[0] == len(alphas)
    for estimator in estimators:
        assert_as_alone(estimator, X, y)
    n_batches = -(-len(X) // parameters.get("batch_size", 64))
    assert estimators[-1].n_iter_ > estimators[-1].t_ / n_batches  # iterations took over


def test_models_of_one_stack_may_differ_in_much(monkeypatch):
    X, y = load_iris(return_X_y=True)
    sizes = stacks_made(monkeypatch)
    settings = [
        {"alpha": 1e-3},
        {"momentum": 0.5},
        {"schedule": "invscaling"},
        {"max_iter": 3, "tol": None},
        {"tol": 1e-2},
        {"n_iter_no_change": 40},
    ]
    estimators = fitted(
        [SoftmaxClassifier(batch_size=16, random_state=0, **one) for one in settings], X, y
    )
    assert sizes[0] == len(settings)
    assert sizes == sorted(sizes, reverse=True)  # a model that is over leaves
    assert len({estimator.n_iter_ for estimator in estimators}) > 1
    for estimator in estimators:
        assert_as_alone(estimator, X, y)


def test_what_cannot_share_a_stack_is_trained_in_another(monkeypatch):
    X, y = load_iris(return_X_y=True)
    sizes = stacks_made(monkeypatch)
    settings = [{"alpha": a, "batch_size": b} for b in (16, 32) for a in (1e-3, 1e-1)]
    settings += [{"random_state": 1}, {"alpha": 0.1, "l1_ratio": 1}, {"momentum": 0}]
    settings += [{"class_weight": {0: 2.0}}, {"class_weight": {0: 2.0}, "alpha": 1}]
    fits = [
        SoftmaxClassifier(**{"random_state": 0, "max_iter": 4, "tol": None, **one})
        for one in settings
    ]
    for estimator in fitted(fits, X, y):
        assert_as_alone(estimator, X, y)
    assert sizes == [2, 2, 2]  # the others are alone


def test_what_may_differ_is_a_parameter():
    assert SoftmaxClassifier._parameter_constraints.keys() >= MAY_DIFFER_IN_A_STACK


def test_weights_zeros_included():
    X, y = load_wine(return_X_y=True)
    parameters = {"optimizer": "sgd", "batch_size": 32, "random_state": 0}
    weights = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    estimators = fitted(
        [SoftmaxClassifier(alpha=a, **parameters) for a in ALPHAS],
        X,
        y,
        sample_weight=weights,
    )
    for estimator in estimators:
        assert_as_alone(estimator, X, y, sample_weight=weights)
    # A row of weight zero has no influence at all.
    X_else = X.copy()
    X_else[weights == 0] = 1e6
    again = fitted(
        [SoftmaxClassifier(alpha=a, **parameters) for a in ALPHAS],
        X_else,
        y,
        sample_weight=weights,
    )
    for estimator, other in zip(estimators, again, strict=True):
        np.testing.assert_array_equal(estimator.coef_, other.coef_)


@pytest.mark.parametrize("l1_ratio", [0, 0.5])
def test_sparse_rows(l1_ratio):
    rng = np.random.default_rng(0)
    X = sparse.csr_array(rng.random((200, 60)) * (rng.random((200, 60)) < 0.1))
    y = rng.integers(3, size=200)
    estimators = [
        SoftmaxClassifier(alpha=a, l1_ratio=l1_ratio, batch_size=32, random_state=0)
        for a in (1e-4, 1e-2)
    ]
    for estimator in fitted(estimators, X, y):
        assert_as_alone(estimator, X, y)


def test_a_model_that_diverges_leaves_the_others_alone():
    X, y = load_digits(return_X_y=True)
    rates = (0.05, 1e4, 0.1)
    estimators = [
        SoftmaxClassifier(learning_rate=r, alpha=1, batch_size=64, random_state=0)
        for r in rates
    ]
    fits = [fit for some in JointFits(estimators, X, y, {}).run() for fit in some]
    errors = {fit.index: fit.error for fit in fits}
    assert errors[0] is None
    assert errors[2] is None
    assert "under-/overflow occurred at epoch #" in str(errors[1])
    assert not hasattr(estimators[1], "coef_")
    assert_as_alone(estimators[0], X, y)
    assert_as_alone(estimators[2], X, y)


def test_an_invalid_parameter_fails_its_own_fit():
    X, y = load_iris(return_X_y=True)
    estimators = [SoftmaxClassifier(alpha=alpha, random_state=0) for alpha in (-1, 1e-2)]
    fits = [fit for some in JointFits(estimators, X, y, {}).run() for fit in some]
    errors = {fit.index: fit.error for fit in fits}
    assert "'alpha' parameter" in str(errors[0])
    assert errors[1] is None


def test_other_estimators_are_fitted_by_themselves():
    class Sub(SoftmaxClassifier):
        def fit(self, X, y, sample_weight=None):
            self.seen_ = len(X)
            return super().fit(X, y, sample_weight)

    X, y = load_iris(return_X_y=True)
    estimators = [Sub(), SoftmaxClassifier(early_stopping=True), SoftmaxClassifier()]
    fitted(estimators, X, y)
    assert estimators[0].seen_ == 150
    assert all(hasattr(estimator, "coef_") for estimator in estimators)
    given = fitted([SoftmaxClassifier(early_stopping=True)], X, y, X_val=X[:30], y_val=y[:30])
    assert given[0].best_loss_ > 0


def test_each_warns_of_too_few_epochs():
    X, y = load_iris(return_X_y=True)
    estimators = [SoftmaxClassifier(max_iter=n, batch_size=8) for n in (1, 2)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted(estimators, X, y)
    assert [w.category for w in caught] == [ConvergenceWarning] * 2
    assert {str(w.message).split(")")[0] for w in caught} == {
        "Maximum number of epochs (max_iter=1",
        "Maximum number of epochs (max_iter=2",
    }


def test_a_pause_changes_nothing():
    X, y = load_wine(return_X_y=True)
    make = {"batch_size": 16, "random_state": 0, "tol": None, "max_iter": 12}
    make["early_stopping"] = True
    estimators = [SoftmaxClassifier(alpha=a, **make) for a in ALPHAS]
    fits = JointFits(estimators, X, y, {})
    for limit in (3, 4, 9):
        for fit in (fit for some in fits.run(limit) for fit in some):
            assert fit.estimator.n_iter_ <= limit
    fits.drop([1])
    assert sorted(fit.index for some in fits.run() for fit in some) == [0, 2, 3, 4]
    assert not fits.goes_on
    for index in (0, 2, 3, 4):
        assert_as_alone(estimators[index], X, y)
    assert estimators[1].n_iter_ == 9


def test_memory_is_that_of_the_stated_budget(monkeypatch):
    budget = 2**20
    monkeypatch.setattr(stack, "STACK_BYTES", budget)
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((2000, 100)).astype(np.float32), rng.integers(10, size=2000)
    n_models, of_coef = 200, 10 * 101 * 4
    estimators = [
        SoftmaxClassifier(
            alpha=a, batch_size=256, max_iter=2, tol=None, random_state=0, backend="numpy"
        )
        for a in np.logspace(-4, 0, n_models)
    ]
    sizes = stacks_made(monkeypatch)
    tracemalloc.start()
    fits = JointFits(estimators, X, y, {})
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    for some in fits.run():
        for fit in some:
            fit.estimator.__dict__.pop("_checkpoint")
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert max(sizes) * 6 < n_models
    # Besides, all have coefficients, and those of one stack their whole state.
    assert peak < budget + n_models * of_coef + 3 * max(sizes) * of_coef + X.nbytes / 4
    assert 5 * peak < len(X) * n_models * 10 * X.itemsize


class Noting(type(get_backend("numpy"))):
    """Notes how many threads the BLAS has during steps."""

    noted = []

    def trainer(self, problem, state):
        trainer = super().trainer(problem, state)
        step = trainer._step

        def noting(*arguments):
            self.noted.extend(blas_threads())
            return step(*arguments)

        trainer._step = noting
        return trainer


def blas_threads():
    return {p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"}


@pytest.mark.parametrize(("n_models", "n_threads"), [(2, 1), (3, 2)])
def test_the_blas_uses_its_threads_for_large_products_alone(n_models, n_threads, monkeypatch):
    X, y = load_iris(return_X_y=True)
    monkeypatch.setattr(Noting, "noted", [])
    monkeypatch.setattr(passes, "THREADED_PRODUCT", 3 * 3 * 4 * 50)  # that of three models
    models = [
        SoftmaxClassifier(alpha=alpha, batch_size=50, max_iter=1, tol=None, backend=Noting())
        for alpha in ALPHAS[1 : 1 + n_models]
    ]
    with threadpool_limits(2, user_api="blas"):
        if blas_threads() != {2}:
            pytest.skip("this BLAS has one thread")
        fitted(models, X, y)
    assert set(Noting.noted) == {n_threads}


def test_models_that_are_over_keep_no_trainer():
    X, y = load_wine(return_X_y=True)
    models = [SoftmaxClassifier(alpha=alpha, random_state=0) for alpha in (1e-3, 1e-2, 10)]
    (fits,) = JointFits(models, X, y, {}).run()
    assert max(each.estimator.n_iter_ for each in fits) > 1  # by iterations, too
    for each in fits:
        assert "trainer" not in vars(each.fit.run.training)


@pytest.mark.parametrize(("product", "n_threads"), [(4 * 150 * 3, 2), (4 * 150 * 3 + 1, 1)])
def test_nor_do_iterations_start_threads_for_small_products(product, n_threads, monkeypatch):
    class NotingPasses(type(get_backend("numpy"))):
        noted = []

        def trainer(self, problem, state):
            trainer = super().trainer(problem, state)
            measure = trainer.loss_gradient

            def noting(*arguments):
                self.noted.extend(blas_threads())
                return measure(*arguments)

            trainer.loss_gradient = noting
            return trainer

    X, y = load_iris(return_X_y=True)
    monkeypatch.setattr(passes, "THREADED_PRODUCT", product)
    clf = SoftmaxClassifier(optimizer="lbfgs", max_iter=20, backend=NotingPasses())
    with threadpool_limits(2, user_api="blas"):
        if blas_threads() != {2}:
            pytest.skip("this BLAS has one thread")
        clf.fit(X, y)
    # The first pass, before there is anything to iterate, is as it was.
    assert set(NotingPasses.noted[1:]) == {n_threads}


def test_a_backend_that_cannot_be_pickled_trains_alone(monkeypatch):
    class Local(type(get_backend("numpy"))):
        pass

    X, y = load_iris(return_X_y=True)
    sizes = stacks_made(monkeypatch)
    models = [SoftmaxClassifier(alpha=a, random_state=0, backend=Local()) for a in ALPHAS]
    for clf in fitted(models, X, y):
        assert_as_alone(clf, X, y)
    assert not sizes
