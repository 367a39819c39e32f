"""In which arithmetic iterations measure, and that its digits do for what is asked of them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from sksoftmax import SoftmaxClassifier, get_backend
from sksoftmax.backend import State
from sksoftmax.testing.cases import Case, make_problem
from sksoftmax.training.objective import Objective

N_ROWS, N_FEATURES, N_CLASSES = 1_500, 60, 200  # just wide enough for float32 to pay
PARAMETERS = {"alpha": 0.1, "random_state": 0}  # so strong a penalty takes iterations


@pytest.fixture
def dtypes(monkeypatch):
    """The dtypes of all parameters at which a gradient over all rows is measured."""
    seen = set()
    measured = Objective.loss_gradient

    def spy(self, weights):
        trainer = self._training.trainer
        of_trainer = trainer.loss_gradient

        def note(parameters, *rows):
            seen.add(parameters.dtype)
            return of_trainer(parameters, *rows)

        with monkeypatch.context() as patch:
            patch.setattr(trainer, "loss_gradient", note)
            return measured(self, weights)

    monkeypatch.setattr(Objective, "loss_gradient", spy)
    return seen


def rows(dtype=np.float32, n_features=N_FEATURES):
    rng = np.random.default_rng(0)
    y = np.arange(N_ROWS) % N_CLASSES
    X = rng.standard_normal((N_CLASSES, n_features))[y]
    X += 3 * rng.standard_normal(X.shape)
    return X.astype(dtype), y


@pytest.fixture(params=["numpy", "numba"])
def backend(request):
    if request.param == "numba":
        pytest.importorskip("numba")
    return request.param


def test_wide_rows_of_float32_are_measured_in_float32(dtypes, backend):
    SoftmaxClassifier(backend=backend, **PARAMETERS).fit(*rows())
    assert dtypes == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("given", "parameters"),
    [
        (rows(np.float64), {}),
        (rows(n_features=20), {}),
        (rows(), {"tol": 1e-5, "max_iter": 15}),
        (rows(), {"optimizer": "lbfgs"}),
        ((csr_array(rows()[0]), rows()[1]), {}),
    ],
    ids=["float64", "few weights", "many digits asked for", "the optimum asked for", "CSR"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_others_in_float64(dtypes, given, parameters):
    SoftmaxClassifier(backend="numpy", **PARAMETERS, **parameters).fit(*given)
    assert dtypes == {np.dtype(np.float64)}


@pytest.mark.parametrize("tol", [3e-3, 1e-4])
def test_a_certificate_in_float32_holds_in_float64(dtypes, backend, tol):
    X, y = rows()
    clf = SoftmaxClassifier(tol=tol, backend=backend, **PARAMETERS).fit(X, y)
    assert dtypes == {np.dtype(np.float32)}
    dtypes.clear()
    gap = clf.dual_gap(X, y)
    assert dtypes == {np.dtype(np.float64)}
    assert gap <= 1.01 * 0.3 * tol * np.log(N_CLASSES)


def test_features_far_from_zero_keep_their_digits(dtypes, backend):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2_000, 700))
    scores = 0.1 * X @ rng.standard_normal((700, 12))
    y = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    near, far = (
        SoftmaxClassifier(backend=backend, random_state=0).fit(rows, y).dual_gap(rows, y)
        for rows in (X.astype(np.float32), (X + 1e5).astype(np.float32))
    )
    assert np.dtype(np.float32) in dtypes
    assert far < 1.5 * near


def test_sums_over_many_rows_keep_the_digits_of_float32(backend):
    # Terms of one sign, whose sum in single precision would lose ever more digits.
    implementation = get_backend(backend)
    shape = {"n_rows": 2**20, "n_features": 3, "n_classes": 3}
    case = Case("many rows", **shape, dtype="float32", optimizer="distance-over-gradients")
    problem = make_problem(implementation, case, np.random.default_rng(0))
    problem = replace(problem, y=np.zeros_like(problem.y))
    trainer = implementation.trainer(problem, State.zeros(1, 3, 3, problem.dtype))
    trainer.elements_at_once = 2**10  # so many slices that adding them up matters, too
    parameters = np.zeros((1, 3, 4))
    rough, exact = (
        trainer.loss_gradient(parameters.astype(dtype), problem.X, problem.y, None)
        for dtype in (np.float32, np.float64)
    )
    for one, other in zip(rough, exact, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-6 * np.abs(other).max())
