"""Runs the tests in array_api, which need SciPy's switch: it is read when SciPy is imported.

The other tests run with the switch off, as most programs do.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sksoftmax import SoftmaxClassifier
from sksoftmax.data.arrays import SUPPORTED

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


def test_the_tag_says_what_scikit_learn_can_do():
    assert SoftmaxClassifier().__sklearn_tags__().array_api_support == SUPPORTED
