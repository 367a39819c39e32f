"""
Writing a backend: one that watches the weights
===============================================

A backend is any object with a handful of methods (:doc:`../guide/backend`). This one trains by
the reference loop and notes weights after every step, which shows what averaging is for.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris

from sksoftmax import SoftmaxClassifier
from sksoftmax.backend.array_trainer import ArrayTrainer
from sksoftmax.testing import check_backend

# %%
# The trainer: ``_step`` takes one step on one batch, and everything else is inherited.


class WatchingTrainer(ArrayTrainer):
    """Train like the reference, and note the weights of the first two classes."""

    def __init__(self, problem, state, path):
        super().__init__(problem, state)
        self.path = path

    def _step(self, rows, scaled_step):
        loss = super()._step(rows, scaled_step)
        weights = (self._parameters, self._average)
        self.path.append([array[0, :2].copy() for array in weights])
        return loss


# %%
# The backend: where rows live (where they are), what it cannot do (nothing), and the trainer.


class WatchingBackend:
    """A CPU backend that keeps the path of the weights."""

    name, version, device, xp = "watching", "1.0", "CPU", np

    def __init__(self):
        self.path = []

    def place(self, X):
        """Return X: it is on the host already."""
        return X

    def to_numpy(self, array):
        """Return the array: it is NumPy's already."""
        return np.asarray(array)

    def supports(self, problem):
        """Refuse nothing."""
        return None

    def trainer(self, problem, state):
        """Return a trainer that goes on from the state."""
        return WatchingTrainer(problem, state, self.path)


# %%
# Does it do, step by step, what the reference does?

reports = check_backend(WatchingBackend())
largest = max(report.difference for report in reports)
print(f"{len(reports)} cases, largest relative difference {largest:.0e}")

# %%
# An object will do where a name is expected, and small batches make the noise visible:

iris = load_iris()
X, y = iris.data, iris.target_names[iris.target]
backend = WatchingBackend()
clf = SoftmaxClassifier(alpha=0.01, batch_size=8, backend=backend, random_state=0).fit(X, y)
last, average = np.array(backend.path)[..., 2].transpose(1, 2, 0)
print(f"{clf.n_iter_} epochs, {last.shape[1]} steps, {clf.score(X, y):.1%} right")

figure, ax = plt.subplots(figsize=(6.4, 4.8), layout="constrained")
ax.plot(*last, color="C0", alpha=0.35, linewidth=0.8, label="after each step")
ax.plot(*average, color="C3", linewidth=2, label="averaged")
ax.plot(0, 0, "o", color="gray", markersize=5)
ax.annotate("start", (0, 0), xytext=(0, -16), textcoords="offset points", ha="center")
ax.plot(*average[:, -1], "*", color="C3", markersize=14, label="what predicts")
ax.set(
    xlabel=f"weight of {clf.classes_[0]}, petal length",
    ylabel=f"weight of {clf.classes_[1]}, petal length",
    title="Steps jitter about the optimum; their average does so less",
)
ax.legend()
plt.show()
