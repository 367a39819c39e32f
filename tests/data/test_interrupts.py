"""Fits that an overflow or an interrupt ends midway: the earlier one survives bit for bit."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from left_unchanged import X, Y, assert_raises_and_changes_nothing

from sksoftmax import get_backend


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_divergence(fitted, method):
    fitted.set_params(learning_rate=1e30, standardize=False, max_iter=50)
    message = r"Floating-point under-/overflow occurred at epoch #\d+. Lower learning_rate"
    # The overflow needs more than one epoch, which partial_fit does not run: hence 1e30 twice.
    rows = (X * 1e20).astype(np.float32)
    assert_raises_and_changes_nothing(
        fitted, message, lambda clf: getattr(clf, method)(rows, Y)
    )


class InterruptedBackend(type(get_backend("numpy"))):
    """Sends this process SIGINT in the fourth epoch."""

    def trainer(self, problem, state):
        trainer = super().trainer(problem, state)
        run_epoch, n_epochs = trainer.run_epoch, 0

        def interrupted(order, step_sizes):
            nonlocal n_epochs
            n_epochs += 1
            if n_epochs == 4:
                signal.raise_signal(signal.SIGINT)
            return run_epoch(order, step_sizes)

        trainer.run_epoch = interrupted
        return trainer


@pytest.mark.parametrize("warm_start", [False, True])
def test_interrupt_leaves_the_earlier_fit(fitted, warm_start):
    fitted.set_params(backend=InterruptedBackend(), warm_start=warm_start)
    assert_raises_and_changes_nothing(
        fitted, None, lambda clf: clf.fit(X[::2], Y[::2]), KeyboardInterrupt
    )


INTERRUPTED_SCRIPT = """
import joblib
from sklearn.datasets import load_iris
from sksoftmax import SoftmaxClassifier

X, y = load_iris(return_X_y=True)
clf = SoftmaxClassifier(max_iter=5, tol=None, random_state=0).fit(X, y)
clf.set_params(max_iter=10**7, verbose=1)
before = joblib.hash(vars(clf))
try:
    clf.fit(X[::2], y[::2])
except KeyboardInterrupt:
    print("intact" if joblib.hash(vars(clf)) == before else "changed")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="one process cannot interrupt another")
def test_interrupt_from_outside():
    command = [sys.executable, "-u", "-c", INTERRUPTED_SCRIPT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert "rows" in process.stdout.readline()
        assert process.stdout.readline().startswith("epoch")
        os.kill(process.pid, signal.SIGINT)
        *_, last = process.stdout
    assert last.endswith("intact\n")  # perhaps after a line that the interrupt cut short
    assert process.returncode == 0
