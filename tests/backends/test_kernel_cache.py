"""Kernels on disk: found again by every later process, and never the end of a fit."""

import gc
import importlib.util
import itertools
import logging
import os
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array

numba = pytest.importorskip("numba")
from sksoftmax_numba import announcements, compilation  # noqa: E402
from sksoftmax_numba.announcements import announced  # noqa: E402
from sksoftmax_numba.canonical import elements_of, rows_of, to_read  # noqa: E402

SOURCE = """
from sksoftmax_numba.compilation import compiled
@compiled
def twice(number):
    return 2 * number
"""
number = itertools.count()


@pytest.fixture
def twice(tmp_path, monkeypatch, caplog):
    """Call a kernel as a new process would; return whether it was compiled."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    caplog.set_level(logging.WARNING, logger="sksoftmax_numba.compilation")
    path = tmp_path / "kernels_of_test.py"
    path.write_text(SOURCE)

    def call():
        spec = importlib.util.spec_from_file_location(f"kernels_of_test_{next(number)}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        caplog.clear()
        with announced(7):
            assert module.twice(21) == 42
        return "about 7 seconds" in caplog.text

    return call


def files(folder, pattern):
    return sorted(folder.rglob(pattern))


def test_what_is_compiled_is_found_again(twice, tmp_path):
    assert twice()
    assert not twice()
    assert len(files(tmp_path, "*.nbi")) == len(files(tmp_path, "*.nbc")) == 1


@pytest.mark.parametrize("pattern", ["*.nbi", "*.nbc"])
@pytest.mark.parametrize(
    "damaged",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: b"not a pickle",
        lambda content: bytes(len(content)),
    ],
    ids=["empty", "half", "all but a byte", "other bytes", "zeros"],
)
def test_a_damaged_file_is_written_anew(twice, tmp_path, pattern, damaged):
    twice()
    (file,) = files(tmp_path, pattern)
    file.write_bytes(damaged(file.read_bytes()))
    assert twice()
    assert not twice()


def test_code_of_which_a_bit_has_changed_is_not_run(twice, tmp_path):
    twice()
    (file,) = files(tmp_path, "*.nbc")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert twice()
    assert not twice()


def test_a_missing_file_is_written_anew(twice, tmp_path):
    twice()
    (file,) = files(tmp_path, "*.nbc")
    file.unlink()
    assert twice()
    assert not twice()


@pytest.mark.parametrize("room", [0, 500, 3000])
def test_a_disk_that_fills_ends_no_fit(twice, room, monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(announcements, "_has_warned", False)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))  # bytes of a file
    try:
        with pytest.warns(RuntimeWarning, match="cannot be kept on disk"):
            assert twice()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert twice()  # what was written in part is no kernel
    assert not twice()


def test_numba_still_looks_for_what_keeps_it_from_optimising_parts():
    from numba.core.codegen import CPUCodeLibrary

    assert callable(CPUCodeLibrary._optimize_final_module)


def test_no_machine_code_is_made_of_what_is_only_inlined(tmp_path, monkeypatch):
    # Elsewhere, an earlier run's would be found, and nothing compiled.
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    add_one = compilation.inlined_in_place(increase)
    call = compilation.in_place(lambda array: add_one(array))
    array = np.zeros(3)
    call(array)
    assert_array_equal(array, 1)
    (inlined,) = add_one.overloads.values()
    (function,) = inlined.library.get_defined_functions()
    assert function.linkage.name == "available_externally"


def increase(array):
    for i in range(len(array)):
        array[i] += 1


@pytest.mark.parametrize("collects", [True, False])
def test_garbage_is_collected_after_compiling_as_before(collects):
    was_collecting = gc.isenabled()
    (gc.enable if collects else gc.disable)()
    try:
        assert compilation.in_place(lambda number: number + 1)(1) == 2
        assert gc.isenabled() is collects
        with pytest.raises(numba.core.errors.NumbaError):
            compilation.in_place(lambda number: number.nothing)(1)
        assert gc.isenabled() is collects
    finally:
        (gc.enable if was_collecting else gc.disable)()


def test_without_a_folder_each_process_compiles_and_one_warning_says_so(
    twice, tmp_path, monkeypatch
):
    # A file where a folder should be: even root cannot write into it.
    (tmp_path / "__pycache__").write_text("")
    (tmp_path / "home").write_text("")
    for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setattr(announcements, "_has_warned", False)
    with pytest.warns(RuntimeWarning, match="NUMBA_CACHE_DIR") as noted:
        assert twice()
    assert len(noted) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert twice()


def test_kernels_meet_two_layouts_of_each_dtype():
    X = np.arange(48).reshape(6, 8)
    unaligned = np.zeros(48 * 8 + 1, np.uint8)[1:].view(np.int64).reshape(6, 8)
    unaligned[:] = X
    layouts = [X, np.asfortranarray(X), X.repeat(2, axis=1)[:, ::2], X[::-1][::-1], unaligned]
    layouts += [X.repeat(2, axis=0)[::2], np.asfortranarray(X)[:, :]]
    kinds = set()
    for rows, writeable in itertools.product(layouts, (True, False)):
        view = rows.view()
        view.flags.writeable = writeable
        assert_array_equal(rows_of(view)[0], X)
        kinds.add(numba.typeof(rows_of(view)))
        assert np.shares_memory(rows_of(view), rows) or rows is unaligned
    assert len(kinds) == 2
    bits = X % 2 == 0
    assert numba.typeof(rows_of(bits)) == numba.typeof(rows_of(bits.view(np.uint8)))
    half = X.astype(np.float16)
    assert numba.typeof(rows_of(half)) != numba.typeof(rows_of(half.view(np.uint16)))


def test_kernels_meet_one_type_of_sparse_rows():
    X = csr_array(np.eye(4))
    locked = X.copy()
    for array in (locked.data, locked.indices, locked.indptr):
        array.flags.writeable = False
    long = X.copy()
    long.indptr = X.indptr.astype(np.int64)
    kinds = {numba.typeof(elements_of(rows)) for rows in (X, locked, long)}
    assert len(kinds) == 1
    assert np.shares_memory(elements_of(locked)[0], locked.data)


def test_what_is_read_is_read_only_and_contiguous():
    array = np.arange(10)
    assert np.shares_memory(to_read(array), array)
    assert not to_read(array).flags.writeable
    assert array.flags.writeable
    assert numba.typeof(to_read(array[::2])) == numba.typeof(to_read(array))


EVERY_KERNEL = """
import sys
import numpy as np
from sksoftmax import SoftmaxClassifier
from sksoftmax_numba import trainer
from sksoftmax_numba.__main__ import kinds
trainer.THREADED_OPERATIONS = 0
X = np.random.default_rng(0).standard_normal((300, 5))
y, weights = np.arange(300) % 3, np.linspace(0, 1, 300)
bits = []
for parameters in ({}, {"learning_rate": 0.1}):
    clf = SoftmaxClassifier(
        backend="numba", batch_size=300, n_jobs=2, max_iter=3, random_state=0, **parameters
    )
    bits.append(clf.fit(X, y, weights).coef_.tobytes().hex())
for _ in kinds("float64", [3]):
    pass
print(bits)
"""


@pytest.mark.slow
def test_a_second_process_compiles_nothing_and_has_the_same_bits(tmp_path):
    def run():
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
        command = [sys.executable, "-W", "ignore", "-c", EVERY_KERNEL]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        kept = {file: file.stat().st_mtime_ns for file in files(tmp_path, "*.nb*")}
        return done.stdout, done.stderr, kept

    bits, messages, kept = run()
    assert "Compiling kernels" in messages
    again, messages, kept_then = run()
    assert messages == ""
    assert kept_then == kept
    assert again == bits


COMPILATION_FORBIDDEN = """
import numpy as np
from sksoftmax import SoftmaxClassifier, list_backends
print([info.reason for info in list_backends() if info.name == "numba"][0])
X = np.random.default_rng(0).normal(size=(100_000, 50))
print(SoftmaxClassifier(max_iter=1, tol=None).fit(X, np.arange(100_000) % 2).backend_)
try:
    SoftmaxClassifier(backend="numba").fit(X, np.arange(100_000) % 2)
except ImportError as error:
    print(error)
"""


def test_where_compiling_is_forbidden_numpy_trains_and_a_reason_is_given():
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-W", "ignore", "-c", COMPILATION_FORBIDDEN]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    reason, backend, error = done.stdout.splitlines()
    assert backend == "numpy", done.stderr
    for message in (reason, error):
        assert "NUMBA_DISABLE_JIT" in message


FIT = """
from scipy.sparse import csr_array
from sklearn.datasets import load_iris
from sksoftmax import SoftmaxClassifier
X, y = load_iris(return_X_y=True)
# Of all kernels these take the least time to compile.
clf = SoftmaxClassifier(backend="numba", learning_rate=0.1, max_iter=2, tol=None, verbose=2)
clf.fit(csr_array(X), y)
"""


@pytest.mark.slow
def test_verbose_tells_the_time_of_compiling_apart_from_that_of_the_epoch(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}

    def lines():
        command = [sys.executable, "-c", FIT]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()

    _, compiled, first, second, _ = lines()
    (compiling,) = map(
        float, re.fullmatch(r"kernels compiled in ([\d.]+) s", compiled).groups()
    )
    for line in (first, second):
        seconds, in_backend = map(float, re.findall(r"([-\d.]+) s", line))
        assert 0 <= in_backend <= seconds < compiling
    assert not any("compiled" in line for line in lines())  # in a process that finds them
