"""Softmax regression in JAX: one compiled scan over the batches of an epoch, as an estimator.

Importing this module needs jax. It must not know what is measured.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np


def loss(parameters: tuple[Any, Any], x: Any, labels: Any) -> Any:
    """Mean cross-entropy of one batch."""
    weights, bias = parameters
    log_probabilities = jax.nn.log_softmax(x @ weights + bias)
    return -jnp.take_along_axis(log_probabilities, labels[:, None], axis=1).mean()


@partial(jax.jit, donate_argnums=0)
def epoch(parameters: tuple[Any, Any], X: Any, y: Any, batches: Any, rate: float) -> Any:
    """Take one step of SGD a batch of row numbers."""

    def step(parameters: Any, rows: Any) -> tuple[Any, None]:
        gradient = jax.grad(loss)(parameters, X[rows], y[rows])
        return jax.tree.map(lambda p, g: p - rate * g, parameters, gradient), None

    return jax.lax.scan(step, parameters, batches)[0]


class JaxLoop:
    """Plain SGD by autodiff; rows beyond the last whole batch are left out of an epoch."""

    def __init__(self, epochs: int, seed: int, rate: float, batch_size: int):
        self.epochs = epochs
        self.seed = seed
        self.rate = rate
        self.batch_size = batch_size

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Run the epochs, and wait for the last one."""
        rng = np.random.default_rng(self.seed)
        n_classes = int(y.max()) + 1
        rows, labels = jnp.asarray(X), jnp.asarray(y)
        parameters = jnp.zeros((X.shape[1], n_classes)), jnp.zeros(n_classes)
        whole = len(X) // self.batch_size * self.batch_size
        for _ in range(self.epochs):
            batches = rng.permutation(len(X))[:whole].reshape(-1, self.batch_size)
            parameters = epoch(parameters, rows, labels, batches, self.rate)
        self.weights, self.bias = (np.asarray(p) for p in parameters)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the class of the highest score."""
        return (X @ self.weights + self.bias).argmax(axis=1)
