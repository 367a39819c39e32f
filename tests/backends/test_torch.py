"""PyTorch's backend: on tensors and on NumPy's arrays, on one device, with and without float64.

Other devices than the processor are stood in for: a tensor on "meta" has no values, but refuses
to meet one that lies elsewhere, and a device without float64 is the processor, watched.
"""

import pickle
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_digits

from sksoftmax import SoftmaxClassifier, SoftmaxSearchCV, get_backend
from sksoftmax.backend import NamespaceBackend, State
from sksoftmax.backend.registry import candidate_backends
from sksoftmax.backend.statistics import feature_moments
from sksoftmax.data.arrays import is_on_device, readable, to_numpy
from sksoftmax.testing import CASES, check_backend
from sksoftmax.testing.cases import make_problem
from sksoftmax.training.deviations import measure_deviations

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from sksoftmax_torch import TorchBackend  # noqa: E402
from sksoftmax_torch.backend import TorchTrainer  # noqa: E402
from sksoftmax_torch.namespace import Namespace  # noqa: E402

X, Y = load_digits(return_X_y=True)
FITTED = ("coef_", "intercept_", "mean_", "scale_", "loss_curve_")
META = torch.device("meta")
DENSE = [case for case in CASES if not case.csr]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def classifier(backend="torch", **parameters):
    defaults = {"max_iter": 3, "tol": None, "random_state": 0}
    return SoftmaxClassifier(backend=backend, **{**defaults, **parameters})


def test_it_follows_the_reference_in_every_case_but_those_of_sparse_rows():
    reports = check_backend(TorchBackend())
    refused = [report.name for report in reports if report.refused]
    assert refused
    assert all(name.startswith("csr, ") for name in refused)


@pytest.mark.gpu
def test_it_follows_the_reference_on_a_gpu():
    with torch.device("cuda"):
        backend = TorchBackend()
    assert backend.place(X).is_cuda
    check_backend(backend)


class WithoutFloat64(TorchBackend):
    """The processor as a device that has no float64."""

    def namespace(self, X):
        return Namespace(X.device, wide=torch.float32)


class Watching(TorchDispatchMode):
    """Raises where PyTorch computes anything in float64."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        made = [result] if isinstance(result, torch.Tensor) else []
        assert all(tensor.dtype != torch.float64 for tensor in made), func
        return result


def test_a_device_without_float64_is_asked_for_none(monkeypatch):
    narrow = [replace(c, dtype="float32") if c.dtype == "float64" else c for c in DENSE]
    monkeypatch.setattr("sksoftmax.testing.cases.CASES", narrow)
    with Watching():
        reports = check_backend(WithoutFloat64())
    assert len(reports) == len(narrow)
    with Watching(), pytest.raises(AssertionError):
        torch.zeros(1, dtype=torch.float64)


@pytest.mark.parametrize("dtype", [np.float64, np.int64, bool])
def test_float64_where_there_is_none_is_explained(dtype):
    message = "float64, which PyTorch's device 'mps' does not have. Pass X as float32"
    backend = TorchBackend()
    backend.xp = Namespace(torch.device("mps"))
    if dtype != np.int64:  # which is stored as it is
        with pytest.raises(ValueError, match=message):
            backend.place(X.astype(dtype))
    rows = SimpleNamespace(device=torch.device("mps"))
    double, single = (
        SimpleNamespace(X=rows, dtype=np.dtype(name)) for name in ("float64", "float32")
    )
    assert message in backend.supports(double)
    assert backend.supports(single) is None


class Valueless(TorchTrainer):
    """Reads zeros where there are no values."""

    def _to_numpy(self, array):
        return np.zeros(array.shape)


@pytest.mark.parametrize("case", DENSE[::4], ids=lambda case: case.name)
def test_all_that_a_trainer_computes_with_lies_on_the_device_of_the_rows(case):
    problem = make_problem(TorchBackend(), case, np.random.default_rng(0))
    problem = replace(problem, X=torch.asarray(problem.X, device=META))
    shape = (case.n_models, case.n_classes, case.n_features)
    trainer = Valueless(
        problem, State.zeros(*shape, problem.dtype), xp=TorchBackend().namespace(problem.X)
    )
    steps = np.ones((case.n_models, -(-case.n_rows // problem.batch_size)))
    loss = trainer.run_epoch(np.arange(case.n_rows), steps) + trainer.penalty()
    assert loss.shape == trainer.evaluate(problem.X, problem.y, None)[0].shape
    assert {array.device for array in trainer.arrays()} == {META}


def test_all_that_is_measured_lies_there_too():
    class OfNoValues(TorchBackend):
        def to_numpy(self, array):
            assert array.device == META
            return np.ones(array.shape)

    rows, rng = torch.asarray(X, device=META), np.random.default_rng(0)
    moments = feature_moments(OfNoValues(), rows, None, None)
    measure_deviations(OfNoValues(), rows, None, None, moments.mean, rng)


def test_rows_of_numpy_go_to_the_default_device():
    with torch.device(META):
        backend = TorchBackend()
    assert isinstance(backend, NamespaceBackend)
    assert backend.device == "meta"
    assert backend.place(X).device == META
    assert TorchBackend().place(X).device == torch.device("cpu")


@pytest.mark.parametrize(
    "dtype",
    [
        "float16", "float32", "float64", ">f4", "longdouble", "int8", "int16", "int32", "int64",
        "uint8", "uint16", "uint32", "uint64", "bool",
    ],
)  # fmt: skip
def test_every_dtype_trains_as_with_numpy(dtype):
    rows = X.astype(dtype)
    ours, numpys = (classifier(name).fit(rows, Y) for name in ("torch", "numpy"))
    assert ours.coef_.dtype == numpys.coef_.dtype
    tolerance = 1e-4 if ours.coef_.dtype == np.float32 else 1e-10
    for name in FITTED:
        expected = np.asarray(getattr(numpys, name))
        found = getattr(ours, name)
        assert_allclose(found, expected, rtol=tolerance, atol=tolerance * abs(expected).max())


@pytest.mark.parametrize(
    "parameters",
    [
        {"shuffle": "blocks"},
        {"early_stopping": True},
        {"optimizer": "adam", "l1_ratio": 0.5},
        {"class_weight": "balanced", "batch_size": len(X)},
        {"learning_rate": 0.1, "nesterov": True, "alpha": 1e-2},
    ],
    ids=str,
)
def test_every_way_to_train_leads_where_numpy_leads(parameters):
    weights = np.random.default_rng(0).integers(3, size=len(X))
    ours, numpys = (
        classifier(name, **parameters).fit(X, Y, weights) for name in ("torch", "numpy")
    )
    for name in FITTED:
        expected = np.asarray(getattr(numpys, name))
        assert_allclose(
            getattr(ours, name), expected, rtol=1e-8, atol=1e-8 * abs(expected).max()
        )


def test_candidates_of_a_search_are_trained_together():
    searches = [
        SoftmaxSearchCV(classifier(name), {"alpha": [1e-3, 1e-1]}, cv=2).fit(X, Y)
        for name in ("torch", "numpy")
    ]
    scores = [search.cv_results_["mean_test_score"] for search in searches]
    assert_allclose(*scores, atol=2 / len(X))
    assert searches[0].best_estimator_.backend_ == "torch"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_seed_gives_the_same_bits_again_and_after_a_pause(dtype):
    rows = X.astype(dtype)
    torch.use_deterministic_algorithms(True)  # also fills new memory with NaN
    try:
        first, second = (classifier(max_iter=4).fit(rows, Y) for _ in range(2))
        paused = classifier(max_iter=2, warm_start=True).fit(rows, Y)
        paused = pickle.loads(pickle.dumps(paused)).fit(rows, Y)
    finally:
        torch.use_deterministic_algorithms(False)
    for name in FITTED[:-1]:
        assert_array_equal(getattr(first, name), getattr(second, name))
        assert_array_equal(getattr(first, name), getattr(paused, name))
    assert first.loss_curve_ == second.loss_curve_ == paused.loss_curve_


def test_rows_are_read_where_they_lie():
    backend, read_only = TorchBackend(), X.copy()
    read_only.flags.writeable = False
    for rows in (X, read_only, X[:, ::2]):
        placed = backend.place(rows)
        assert placed.data_ptr() == rows.ctypes.data
        assert_array_equal(placed, rows)
    tensor = torch.asarray(X).requires_grad_()
    placed = backend.place(tensor)
    assert placed.data_ptr() == tensor.data_ptr()
    assert not placed.requires_grad


def test_what_a_tensor_cannot_be_is_copied():
    backwards = X[::-1]
    assert_array_equal(TorchBackend().place(backwards), backwards)
    assert TorchBackend().place(torch.ones(2, 2, dtype=torch.bfloat16)).dtype == torch.float32


def test_sparse_rows_are_refused_and_nothing_changes():
    clf = classifier().fit(X, Y)
    before = clf.predict_proba(X)
    with pytest.raises(ValueError, match=r"'torch' cannot train this: X is sparse.*toarray"):
        clf.fit(sparse.csr_array(X), Y)
    assert_array_equal(clf.predict_proba(X), before)


def test_auto_takes_it_for_tensors_that_no_other_backend_reads():
    tensor = torch.empty(3, 2, device=META)
    assert is_on_device(tensor)
    assert readable(tensor) is tensor
    assert [backend.name for backend in candidate_backends("auto", tensor)] == ["torch"]
    with pytest.raises(ValueError, match="backend='auto'"):
        get_backend("numpy").place(tensor)
    assert not is_on_device(torch.empty(3, 2))


def test_a_dtype_that_numpy_lacks_is_named():
    with pytest.raises(ValueError, match=r"torch\.bfloat16\. Convert them to float32"):
        to_numpy(torch.ones(2, dtype=torch.bfloat16))
