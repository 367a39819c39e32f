"""Whatever the GPU's backend cannot do here is said in one clear message, GPU or not."""

import subprocess
import sys

import numpy as np
import pytest

from sksoftmax import SoftmaxClassifier, get_backend, list_backends

HIDE_CUPY = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] == 'cupy':
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
"""


def run(script):
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_cupy_the_pip_line_is_named():
    script = (
        f"{HIDE_CUPY}\n"
        "from sksoftmax import SoftmaxClassifier, list_backends\n"
        "info = {info.name: info for info in list_backends()}\n"
        "assert info['numpy'].available and not info['cupy'].available\n"
        "print(info['cupy'].reason)\n"
        "try: SoftmaxClassifier(backend='cupy').fit([[0], [1]], [0, 1])\n"
        "except ImportError as error: print(error)\n"
        "print(SoftmaxClassifier().fit([[0], [1]], [0, 1]).backend_)\n"
    )
    listed, raised, fitted = run(script).splitlines()
    assert 'pip install "cupy-cuda13x[ctk]"' in raised
    assert listed == f"ImportError: {raised}"
    assert fitted != "cupy"


def test_without_a_gpu_the_reason_is_given():
    cupy = pytest.importorskip("cupy")
    if cupy.cuda.is_available():
        pytest.skip("there is a GPU")
    (info,) = (info for info in list_backends() if info.name == "cupy")
    assert not info.available
    assert ("no NVIDIA driver" in info.reason) == (cupy.cuda.runtime.driverGetVersion() == 0)
    assert info.reason.startswith("RuntimeError: ")
    with pytest.raises(RuntimeError) as caught:
        get_backend("cupy")
    assert str(caught.value) in info.reason
    clf = SoftmaxClassifier(backend="numpy", random_state=0).fit([[0.0], [1.0]], [0, 1])
    before = clf.coef_.copy()
    clf.set_params(backend="cupy", warm_start=True)
    with pytest.raises(RuntimeError):
        clf.fit([[0.0], [1.0]], [0, 1])
    np.testing.assert_array_equal(clf.coef_, before)
    assert clf.predict([[5.0]]).tolist() == [1]


@pytest.mark.gpu
def test_without_a_visible_device_the_variable_is_named():
    script = (
        "import os; os.environ['CUDA_VISIBLE_DEVICES'] = ''\n"
        "from sksoftmax import list_backends\n"
        "print([info.reason for info in list_backends() if info.name == 'cupy'])\n"
    )
    assert "CUDA_VISIBLE_DEVICES" in run(script)


def test_an_old_gpu_is_refused():
    pytest.importorskip("cupy")
    from sksoftmax_cupy.device import Device, check_age

    with pytest.raises(RuntimeError, match=r"Pascal One \(sm_61\) is too old: .* 7\.5 .* 6\.1"):
        check_age(Device("Pascal One", (6, 1), 48 * 1024))
    check_age(Device("Turing", (7, 5), 64 * 1024))


def test_out_of_memory_says_what_to_lower():
    cupy = pytest.importorskip("cupy")
    from sksoftmax_cupy.device import explained

    raised = pytest.raises(MemoryError, match="while moving X to it")
    with raised as caught, explained("moving X to it"):
        raise cupy.cuda.memory.OutOfMemoryError(2**40, 2**30, 0)
    assert type(caught.value) is MemoryError
    assert all(part in str(caught.value) for part in ("batch_size", "partial_fit", "1,099,"))


def test_arrays_of_frames_that_failed_are_let_go():
    cupy = pytest.importorskip("cupy")
    import weakref

    from sksoftmax_cupy.device import explained

    class Buffer:
        pass

    seen = []

    def fails():
        buffer = Buffer()
        seen.append(weakref.ref(buffer))
        raise cupy.cuda.memory.OutOfMemoryError(2**40, 2**30, 0)

    with pytest.raises(MemoryError) as caught, explained("testing"):
        fails()
    assert caught.value.__context__ is not None
    assert seen[0]() is None


def test_an_error_of_the_device_is_explained():
    cupy = pytest.importorskip("cupy")
    from sksoftmax_cupy.device import explained

    illegal_address = 700
    message = "The GPU failed while running an epoch: cudaErrorIllegalAddress.*as it was before"
    with pytest.raises(RuntimeError, match=message) as caught, explained("running an epoch"):
        raise cupy.cuda.runtime.CUDARuntimeError(illegal_address)
    assert isinstance(caught.value.__cause__, cupy.cuda.runtime.CUDARuntimeError)


def test_a_kernel_that_does_not_compile_is_explained():
    cupy = pytest.importorskip("cupy")
    from sksoftmax_cupy.device import explained

    failure = cupy.cuda.compiler.CompileException("unsupported gpu", "", "kernel.cu", ())
    with pytest.raises(RuntimeError) as caught, explained("running an epoch"):
        raise failure
    parts = (
        "could not compile a kernel while running an epoch",
        "unsupported gpu",
        "--upgrade",
    )
    assert all(part in str(caught.value) for part in parts)


def test_a_missing_library_of_cuda_is_explained():
    pytest.importorskip("cupy")
    from sksoftmax_cupy.device import explained

    with pytest.raises(ImportError) as caught, explained("evaluating"):
        raise ImportError("no libcublas")
    parts = ("library of CUDA", "while evaluating", "no libcublas", "cuda13x")
    assert all(part in str(caught.value) for part in parts)


@pytest.mark.parametrize(
    "error", [RuntimeError("ours"), ValueError("ours"), KeyboardInterrupt()]
)
def test_errors_of_others_pass(error):
    pytest.importorskip("cupy")
    from sksoftmax_cupy.device import explained

    with pytest.raises(type(error)) as caught, explained("running an epoch"):
        raise error
    assert caught.value is error
