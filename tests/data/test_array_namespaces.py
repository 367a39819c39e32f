"""The core asks of an array namespace no more than CuPy has, and mixes no two namespaces.

Without a GPU nothing can be computed with CuPy. So all cases of the conformance suite run over
NumPy arrays that refuse to meet plain ones, as a device's do, while each call to the namespace
is bound to the signature that CuPy's function of that name has.
"""

import inspect

import numpy as np
import pytest

from sksoftmax.backend.array_trainer import ArrayTrainer
from sksoftmax.data.rows import is_csr
from sksoftmax.testing import CASES, check_backend


class DeviceArray(np.ndarray):
    """An array that meets plain arrays in no operation: only scalars and its own kind."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **kwargs):
        for x in (*inputs, *out):
            if type(x) is np.ndarray:
                raise TypeError(f"{ufunc.__name__} mixes namespaces")
        if out:
            kwargs["out"] = plain(out)
        result = getattr(ufunc, method)(*plain(inputs), **kwargs)
        return out[0] if out else on_device(result)

    def __array_function__(self, function, types, args, kwargs):
        if np.ndarray in types:
            raise TypeError(f"{function.__name__} mixes namespaces")
        return on_device(function(*plain(args), **kwargs))


def plain(x):
    if isinstance(x, tuple | list):
        return type(x)(map(plain, x))
    return x.view(np.ndarray) if isinstance(x, DeviceArray) else x


def on_device(result):
    if isinstance(result, tuple | list):
        return type(result)(map(on_device, result))
    return np.asarray(result).view(DeviceArray) if isinstance(result, np.ndarray) else result


class Namespace:
    """NumPy's functions; what they make is on the device, and what they are asked is noted."""

    def __init__(self, device):
        self.device = device
        self.calls = {}

    def __getattr__(self, name):
        function = getattr(np, name)

        def called(*args, **kwargs):
            self.calls[name, len(args), tuple(sorted(kwargs))] = args, kwargs
            result = function(*args, **kwargs)
            return on_device(result) if self.device else result

        if isinstance(function, np.ufunc):
            called.at = function.at
        return called


class DeviceTrainer(ArrayTrainer):
    def _to_numpy(self, array):
        return np.array(plain(array))


class DeviceBackend:
    name = "device"
    version = "1"
    device = "none"

    def __init__(self):
        self.namespaces = {True: Namespace(True), False: Namespace(False)}

    def place(self, X):
        # SciPy's CSR holds plain arrays only: for those, calls are noted and no more.
        self.xp = self.namespaces[not is_csr(X)]
        return X if is_csr(X) else on_device(X)

    def to_numpy(self, array):
        return np.array(plain(array))

    def supports(self, problem):
        return None

    def trainer(self, problem, state):
        return DeviceTrainer(problem, state, xp=self.xp)


@pytest.fixture(scope="module")
def cupy():
    return pytest.importorskip("cupy")


@pytest.fixture(scope="module")
def backend():
    backend = DeviceBackend()
    reports = check_backend(backend)
    assert len(reports) >= len(CASES)
    assert not any(report.refused for report in reports)
    return backend


def test_device_arrays_refuse_plain_ones():
    ours, host = on_device(np.ones(2)), np.ones(2)
    for mix in (lambda: ours + host, lambda: host @ ours, lambda: np.where(host, ours, 0)):
        with pytest.raises(TypeError, match="mixes"):
            mix()


def test_the_core_mixes_no_namespaces(backend):
    names = {name for name, *_ in backend.namespaces[True].calls}
    assert {"asarray", "where", "einsum", "exp"} <= names


@pytest.mark.parametrize("device", [True, False])
def test_cupy_has_what_the_core_calls(cupy, backend, device):  # where it is missing, at once
    for (name, *_), (args, kwargs) in backend.namespaces[device].calls.items():
        function = getattr(cupy, name)
        if not isinstance(function, cupy.ufunc):
            inspect.signature(function).bind(*args, **kwargs)
