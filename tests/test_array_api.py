"""Runs the tests in array_api, which need SciPy's switch: it is read when SciPy is imported.

The other tests run with the switch off, as most programs do.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sklearn import config_context

from sksoftmax import SoftmaxClassifier
from sksoftmax.arrays import SUPPORTED

FOLDER = Path(__file__).parent / "array_api"


@pytest.mark.skipif(not SUPPORTED, reason="scikit-learn can do it from 1.9 on")
@pytest.mark.parametrize(
    "selection",
    [
        "not slow and not gpu",
        pytest.param("slow and not gpu", marks=pytest.mark.slow),
        pytest.param("gpu", marks=pytest.mark.gpu),
    ],
)
def test_with_the_switch_on(selection):
    environment = {**os.environ, "SCIPY_ARRAY_API": "1", "PYTEST_ADDOPTS": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-m", selection, str(FOLDER)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


@pytest.mark.skipif(SUPPORTED, reason="scikit-learn is new enough")
def test_an_old_scikit_learn_is_named():
    xp = pytest.importorskip("array_api_strict")
    assert not SoftmaxClassifier().__sklearn_tags__().array_api_support
    rows = xp.asarray([[0.0], [1.0]])
    with (
        config_context(array_api_dispatch=True),
        pytest.raises(ImportError, match=r"array_api_strict need scikit-learn 1\.9"),
    ):
        SoftmaxClassifier().fit(rows, [0, 1])
