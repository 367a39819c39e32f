"""In which arithmetic iterations measure, and that its digits do for what is asked of them."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from sksoftmax import SoftmaxClassifier
from sksoftmax.backend.softmax_model import SoftmaxModel

N_ROWS, N_FEATURES, N_CLASSES = 1_500, 60, 200  # just wide enough for float32 to pay
PARAMETERS = {"alpha": 0.1, "random_state": 0}  # so strong a penalty takes iterations


@pytest.fixture
def dtypes(monkeypatch):
    """The dtypes of all parameters at which a gradient over all rows is measured."""
    seen = set()
    measured = SoftmaxModel.loss_gradient

    def spy(self, parameters, *rows):
        seen.add(parameters.dtype)
        return measured(self, parameters, *rows)

    monkeypatch.setattr(SoftmaxModel, "loss_gradient", spy)
    return seen


def rows(dtype=np.float32, n_features=N_FEATURES, offset=0.0):
    rng = np.random.default_rng(0)
    y = np.arange(N_ROWS) % N_CLASSES
    X = rng.standard_normal((N_CLASSES, n_features))[y]
    X += 3 * rng.standard_normal(X.shape) + offset
    return X.astype(dtype), y


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_wide_rows_of_float32_are_measured_in_float32(dtypes, backend):
    if backend == "numba":
        pytest.importorskip("numba")
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


@pytest.mark.parametrize("offset", [0.0, 3e3])  # a thousand deviations
@pytest.mark.parametrize("tol", [3e-3, 1e-4])
def test_a_certificate_in_float32_holds_in_float64(dtypes, offset, tol):
    X, y = rows(offset=offset)
    clf = SoftmaxClassifier(tol=tol, backend="numpy", **PARAMETERS)
    clf.fit(X, y)
    assert dtypes == {np.dtype(np.float32)}
    dtypes.clear()
    gap = clf.dual_gap(X, y)
    assert dtypes == {np.dtype(np.float64)}
    assert gap <= 1.01 * 0.3 * tol * np.log(N_CLASSES)
