"""Arrays of other libraries: trained on where they are, and answered in kind."""

import copy
import pickle
import subprocess
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn import config_context
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils._array_api import move_estimator_to

from sksoftmax import SoftmaxClassifier
from sksoftmax.backend.registry import candidate_backends, get_backend, list_backends
from sksoftmax.data import arrays
from sksoftmax.data.arrays import NUMPY, is_on_gpu, namespace_of, readable, to_numpy

X, Y = load_digits(return_X_y=True)
FITTED = ("coef_", "intercept_", "mean_", "scale_")
METHODS = ("decision_function", "predict_proba", "predict_log_proba")
COMMON = {"max_iter": 4, "tol": None, "random_state": 0, "backend": "numpy"}

GPU = [
    pytest.param(("cupy", None), marks=pytest.mark.gpu, id="cupy"),
    pytest.param(("torch", "cuda"), marks=pytest.mark.gpu, id="torch-cuda"),
    pytest.param(("torch", "cuda", "torch"), marks=pytest.mark.gpu, id="torch-cuda-by-torch"),
]


@pytest.fixture(autouse=True)
def dispatch():
    with config_context(array_api_dispatch=True):
        yield


def library_of(request):
    name, device, *named = request.param
    xp = pytest.importorskip(name)
    if name == "array_api_strict" and device is not None:
        device = xp.Device(device)
    backend = named[0] if named else "auto" if name == "cupy" or device == "cuda" else "numpy"

    def make(array):
        return xp.asarray(array) if device is None else xp.asarray(array, device=device)

    return SimpleNamespace(xp=xp, make=make, parameters={**COMMON, "backend": backend})


HOSTS = [("array_api_strict", None), ("array_api_strict", "device1"), ("torch", "cpu")]
HOSTS = [pytest.param(host, id=f"{host[0]}-{host[1]}") for host in HOSTS]


@pytest.fixture(params=HOSTS)
def host(request):
    return library_of(request)


BY_TORCH = pytest.param(("torch", "cpu", "torch"), id="torch-cpu-by-torch")


@pytest.fixture(params=[*HOSTS, BY_TORCH, *GPU])
def library(request):
    return library_of(request)


def of_first(n_classes, dtype):
    kept = np.isin(Y, np.arange(n_classes))
    return X[kept].astype(dtype), Y[kept]


def lives_with(array, other):
    return namespace_of(array) == namespace_of(other) != NUMPY


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("classes", [10, 2])
def test_a_fit_on_the_host_has_the_bits_of_a_fit_on_numpy(host, dtype, classes):
    rows, labels = of_first(classes, dtype)
    weights = np.random.default_rng(0).integers(3, size=len(rows)).astype(float)
    expected = SoftmaxClassifier(**COMMON).fit(rows, labels, weights)
    given = (host.make(array) for array in (rows, labels, weights))
    clf = SoftmaxClassifier(**COMMON).fit(*given)
    assert clf.loss_curve_ == expected.loss_curve_
    for name in ("classes_", *FITTED):
        ours, numpys = to_numpy(getattr(clf, name)), getattr(expected, name)
        np.testing.assert_array_equal(ours, numpys, strict=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("classes", [10, 2])
def test_everything_fitted_and_predicted_lives_with_x(library, dtype, classes):
    rows, labels = of_first(classes, dtype)
    there = library.make(rows)
    clf = SoftmaxClassifier(**library.parameters).fit(there, library.make(labels))
    assert all(lives_with(getattr(clf, name), there) for name in ("classes_", *FITTED))
    on_host = move_estimator_to(clf, np, "cpu")
    for method in METHODS:
        found, expected = getattr(clf, method)(there), getattr(on_host, method)(rows)
        assert lives_with(found, there)
        found = to_numpy(found)
        assert found.dtype == expected.dtype
        tolerance = 1e-4 if found.dtype == np.float32 else 1e-10
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    found = clf.predict(there)
    assert lives_with(found, there)
    assert accuracy_score(labels, to_numpy(found)) > 0.9
    assert clf.score(there, library.make(labels)) > 0.9


def test_probabilities_far_from_the_boundary_are_exact(library):
    rows = np.array([[-1.0], [1.0]] * 20)
    labels = np.array([0, 1] * 20)
    clf = SoftmaxClassifier(**library.parameters).fit(library.make(rows), library.make(labels))
    far = np.array([[-1e6], [-200.0], [0.0], [200.0], [1e6]])
    expected = move_estimator_to(clf, np, "cpu")
    for method in METHODS:
        found = to_numpy(getattr(clf, method)(library.make(far)))
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found, getattr(expected, method)(far), rtol=1e-10)


def test_labels_may_be_strings_or_numpys(library):
    names = np.array([f"digit {label}" for label in Y])
    there = library.make(X)
    clf = SoftmaxClassifier(**library.parameters).fit(there, names)
    assert isinstance(clf.classes_, np.ndarray)
    assert isinstance(clf.predict(there), np.ndarray)
    assert clf.score(there, names) > 0.9
    clf = SoftmaxClassifier(**library.parameters).fit(there, Y, np.ones(len(Y)))
    assert isinstance(clf.classes_, np.ndarray)
    assert lives_with(clf.predict(there), there)


def test_only_labels_of_another_library(host):
    clf = SoftmaxClassifier(**COMMON).fit(X, host.make(Y))
    assert isinstance(clf.coef_, np.ndarray)
    assert lives_with(clf.classes_, host.make(Y))
    np.testing.assert_array_equal(
        clf.predict(X), SoftmaxClassifier(**COMMON).fit(X, Y).predict(X)
    )
    with config_context(array_api_dispatch=False):
        assert clf.predict(X).dtype == Y.dtype


def test_validation_rows_may_live_with_x_or_not(host):
    curves = []
    there = [host.make(array) for array in (X, Y)]
    for (rows, labels), (X_val, y_val) in [((X, Y), (X, Y)), (there, there), (there, (X, Y))]:
        clf = SoftmaxClassifier(early_stopping=True, **COMMON)
        clf.fit(rows[300:, :], labels[300:], X_val=X_val[:300, :], y_val=y_val[:300])
        curves.append(clf.validation_loss_curve_)
    assert curves[0] == curves[1] == curves[2]


def test_rows_are_held_out_wherever_x_lives(library):
    clf = SoftmaxClassifier(early_stopping=True, **library.parameters)
    clf.fit(library.make(X), library.make(Y))
    expected = SoftmaxClassifier(early_stopping=True, **COMMON).fit(X, Y)
    np.testing.assert_allclose(
        clf.validation_loss_curve_, expected.validation_loss_curve_, rtol=1e-6
    )


def test_going_on_from_a_fit(library):
    there, labels = library.make(X), library.make(Y)
    whole = SoftmaxClassifier(**library.parameters).fit(there, labels)
    parts = SoftmaxClassifier(**{**library.parameters, "max_iter": 2}, warm_start=True)
    parts.fit(there, labels).fit(there, labels)
    np.testing.assert_array_equal(to_numpy(parts.coef_), to_numpy(whole.coef_))
    stream = SoftmaxClassifier(**library.parameters)
    for chunk in (slice(0, 900), slice(900, len(X))):
        stream.partial_fit(there[chunk, :], labels[chunk], classes=library.make(np.arange(10)))
    assert lives_with(stream.coef_, there)
    assert lives_with(stream.classes_, there)
    with pytest.raises(ValueError, match="not the same as on last call"):
        stream.partial_fit(there, labels, classes=library.make(np.arange(9)))
    moved = stream.partial_fit(X, Y)
    assert isinstance(moved.coef_, np.ndarray)


@pytest.mark.parametrize("method", [*METHODS, "predict"])
def test_another_namespace_is_refused(library, method):
    there = library.make(X)
    message = rf"SoftmaxClassifier\.{method}\(\) must use the same namespace"
    clf = SoftmaxClassifier(**library.parameters).fit(there, library.make(Y))
    with pytest.raises(ValueError, match=message):
        getattr(clf, method)(X)
    with pytest.raises(ValueError, match=message):
        getattr(SoftmaxClassifier(**COMMON).fit(X, Y), method)(there)
    without = pytest.raises(ValueError, match=f"Call {method} under the same setting")
    with config_context(array_api_dispatch=False), without:
        getattr(clf, method)(X)


def test_another_device_is_refused():
    xp = pytest.importorskip("array_api_strict")
    clf = SoftmaxClassifier(**COMMON).fit(xp.asarray(X), xp.asarray(Y))
    with pytest.raises(ValueError, match="Devices used during fit"):
        clf.predict(xp.asarray(X, device=xp.Device("device1")))


def test_an_old_scikit_learn_is_named(host, monkeypatch):
    monkeypatch.setattr(arrays, "SUPPORTED", False)
    for method in (SoftmaxClassifier().fit, SoftmaxClassifier(**COMMON).fit(X, Y).predict):
        with pytest.raises(ImportError, match=r"need scikit-learn 1\.9"):
            method(*[host.make(X), host.make(Y)][: 1 + (method.__name__ == "fit")])


def test_memory_of_the_host_is_not_copied(host):
    there = host.make(X)
    seen = readable(there)
    assert type(seen) is np.ndarray
    assert seen.__array_interface__["data"][0] == np.from_dlpack(there).ctypes.data
    np.testing.assert_array_equal(seen, X)
    there[0, 0] = 99
    assert seen[0, 0] == 99


def test_the_backend_trains_on_the_callers_memory(host):
    """What reaches the backend is the memory of X itself, whatever object holds it."""
    backend = get_backend("numpy")
    placed = []

    class Watching(type(backend)):
        def place(self, X):
            placed.append(super().place(X))
            return placed[-1]

    there = host.make(X)
    SoftmaxClassifier(**{**COMMON, "backend": Watching()}).fit(there, host.make(Y))
    (rows,) = placed
    assert rows.ctypes.data == np.from_dlpack(there).ctypes.data


def test_a_pickle_holds_numpy_and_needs_no_other_library(library):
    there = library.make(X)
    clf = SoftmaxClassifier(**library.parameters).fit(there, library.make(Y))
    script = (
        "import pickle, sys\n"
        "clf = pickle.load(sys.stdin.buffer)\n"
        "assert not {'cupy', 'torch', 'array_api_strict'} & set(sys.modules)\n"
        "print(clf.predict([[0.0] * 64]).tolist(), type(clf.coef_).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=pickle.dumps(clf), capture_output=True
    )
    assert done.returncode == 0, done.stderr
    expected = to_numpy(clf.predict(library.make(np.zeros((1, 64)))))
    assert done.stdout.decode().strip() == f"{expected.tolist()} ndarray"
    loaded = pickle.loads(pickle.dumps(clf))
    back = move_estimator_to(loaded, namespace_of(there).xp, namespace_of(there).device)
    np.testing.assert_array_equal(to_numpy(back.predict(there)), to_numpy(clf.predict(there)))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_stays_where_it_is(library, copied):
    there = library.make(X)
    clf = SoftmaxClassifier(**library.parameters).fit(there, library.make(Y))
    twin = copied(clf)
    assert all(lives_with(getattr(twin, name), there) for name in FITTED)
    assert (twin.coef_ is clf.coef_) == (copied is copy.copy)
    before = to_numpy(clf.predict_proba(there)).copy()
    twin.partial_fit(there, library.make(Y))
    np.testing.assert_array_equal(to_numpy(clf.predict_proba(there)), before)


def test_within_scikit_learns_tools(library):
    there, labels = library.make(X), library.make(Y)
    model = make_pipeline(MinMaxScaler(), SoftmaxClassifier(**library.parameters))
    assert model.fit(there, labels).score(there, labels) > 0.9
    if library.xp.__name__ != "array_api_strict":  # it takes no indices of NumPy
        assert cross_val_score(model, there, labels, cv=3).min() > 0.85


def test_coefficients_are_drawn_from_anywhere(library):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    from sksoftmax.inspection import CoefficientDisplay

    clf = SoftmaxClassifier(**library.parameters).fit(library.make(X), library.make(Y))
    shown = CoefficientDisplay.from_estimator(clf, image_shape=(8, 8)).coef
    pyplot.close("all")
    np.testing.assert_array_equal(shown, to_numpy(clf.coef_) * to_numpy(clf.scale_))


def test_sparsify_needs_numpy(library):
    clf = SoftmaxClassifier(**library.parameters).fit(library.make(X), library.make(Y))
    with pytest.raises(ValueError, match="no sparse matrices"):
        clf.sparsify()


class OnGpu:
    """As much of an array on a GPU as says so: there is no GPU to hold the rest."""

    shape, ndim = X.shape, 2

    def __dlpack__(self, **arguments):
        raise BufferError("there is no GPU")

    def __dlpack_device__(self):
        return 2, 0


def test_auto_follows_arrays_to_a_gpu_and_never_to_the_cpu():
    assert is_on_gpu(OnGpu())
    assert not is_on_gpu(X)
    assert readable(OnGpu()).__class__ is OnGpu
    info = {info.name: info for info in list_backends()}["cupy"]
    if info.available:
        assert [backend.name for backend in candidate_backends("auto", OnGpu())] == ["cupy"]
    elif find_spec("torch"):
        assert [backend.name for backend in candidate_backends("auto", OnGpu())] == ["torch"]
    else:
        with pytest.raises((ImportError, RuntimeError)) as caught:
            list(candidate_backends("auto", OnGpu()))
        assert str(caught.value) in info.reason
    of_host = {backend.name for backend in candidate_backends("auto", X)}
    assert not {"cupy", "torch"} & of_host


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_a_backend_of_the_cpu_refuses_arrays_of_a_gpu(name):
    if name == "numba":
        pytest.importorskip("numba")
    with pytest.raises(ValueError, match="backend='auto'"):
        get_backend(name).place(OnGpu())


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["cupy", "torch"])
def test_rows_on_a_gpu_are_not_copied(name):
    xp = pytest.importorskip(name)
    there = xp.asarray(X) if name == "cupy" else xp.asarray(X, device="cuda")
    placed = get_backend("cupy").place(there)
    address = there.data.ptr if name == "cupy" else there.data_ptr()
    assert placed.data.ptr == address
    clf = SoftmaxClassifier(**{**COMMON, "backend": "auto"}).fit(there, Y)
    assert clf.backend_ == "cupy"
    with pytest.raises(ValueError, match="backend='auto'"):
        SoftmaxClassifier(backend="numpy").fit(there, Y)


@pytest.mark.gpu
def test_rows_on_another_gpu_are_refused():
    cupy = pytest.importorskip("cupy")
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("there is one GPU")
    with cupy.cuda.Device(1):
        there = cupy.asarray(X)
    with pytest.raises(ValueError, match=r"cupy\.cuda\.Device\(1\)"):
        get_backend("cupy").place(there)
