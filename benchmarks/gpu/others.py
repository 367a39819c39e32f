"""Other libraries' contestants, each the loop that its users would write.

All take heavy-ball SGD over shuffled batches in float32, with rows, order and parameters on the
device: none is charged for what it does not have to do. They need not be installed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

STEP, MOMENTUM = 0.02, 0.9


def scale_of(X: Any) -> float:
    """Return what rows are multiplied by: these libraries need pixels in [0, 1]."""
    return 1 / 255 if str(X.dtype).endswith("uint8") else 1.0


Contestant = tuple[Callable[[], Any], Callable[[], float]]


class TorchLoop:
    """PyTorch: torch.nn.Linear, cross_entropy and torch.optim.SGD."""

    def __init__(self, X: Any, y: np.ndarray, n_classes: int, batch_size: int, test: Any):
        import torch

        self.torch = torch
        self.X, self.size, self.test = torch.as_tensor(X), batch_size, test
        self.scale, self.device = scale_of(X), self.X.device
        self.y = torch.as_tensor(y, device=self.device)
        self.model = torch.nn.Linear(self.X.shape[1], n_classes, device=self.device)
        for parameter in self.model.parameters():
            torch.nn.init.zeros_(parameter)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=STEP, momentum=MOMENTUM)
        self.order = torch.arange(len(self.y), device=self.device)

    def shuffle(self) -> None:
        """Draw the order of the next epoch, where the epoch reads it."""
        self.torch.randperm(len(self.order), out=self.order)

    def steps(self) -> None:
        """Take a step for each batch."""
        for start in range(0, len(self.order), self.size):
            rows = self.order[start : start + self.size]
            x = self.converted(self.X[rows])
            loss = self.torch.nn.functional.cross_entropy(self.model(x), self.y[rows])
            self.optimizer.zero_grad(set_to_none=False)
            loss.backward()
            self.optimizer.step()

    def converted(self, x: Any) -> Any:
        """Rows as float32, pixels in [0, 1]."""
        x = x.to(self.torch.float32)
        return x if self.scale == 1 else x * self.scale

    def eager(self) -> Contestant:
        """Return an epoch, one launch after the other, and the accuracy."""

        def epoch() -> None:
            self.shuffle()
            self.steps()

        return epoch, self.accuracy

    def graph(self) -> Contestant:
        """Return an epoch captured in one CUDA graph, and the accuracy."""
        torch = self.torch
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self.steps()  # the warm-up that capturing asks for
        torch.cuda.current_stream().wait_stream(stream)
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured):
            self.steps()

        def epoch() -> None:
            self.shuffle()
            captured.replay()

        return epoch, self.accuracy

    def accuracy(self) -> float:
        """Share of the test rows that are right."""
        X, y = self.test
        with self.torch.no_grad():
            scores = self.model(self.converted(self.torch.as_tensor(X)))
        return float((scores.argmax(1).cpu().numpy() == y).mean())


def jax_scan(X: Any, y: np.ndarray, n_classes: int, batch_size: int, test: Any) -> Contestant:
    """Return an epoch as one compiled lax.scan over its whole batches, and the accuracy."""
    import jax
    import jax.numpy as jnp

    rows, labels = jnp.from_dlpack(X), jnp.asarray(y)
    scale = scale_of(X)
    whole = len(y) // batch_size * batch_size  # scan wants batches of one length

    def loss(parameters: Any, x: Any, label: Any) -> Any:
        scores = x @ parameters[0] + parameters[1]
        chosen = jnp.take_along_axis(scores, label[:, None], 1)[:, 0]
        return (jax.nn.logsumexp(scores, axis=1) - chosen).mean()

    def step(carry: Any, batch: Any) -> tuple[Any, Any]:
        parameters, velocity = carry
        value, gradient = jax.value_and_grad(loss)(
            parameters, rows[batch].astype(jnp.float32) * scale, labels[batch]
        )
        velocity = jax.tree.map(lambda v, g: MOMENTUM * v - STEP * g, velocity, gradient)
        parameters = jax.tree.map(jnp.add, parameters, velocity)
        return (parameters, velocity), value

    @jax.jit
    def run(carry: Any, key: Any) -> Any:
        order = jax.random.permutation(key, len(y))[:whole].reshape(-1, batch_size)
        return jax.lax.scan(step, carry, order)

    zeros = (jnp.zeros((X.shape[1], n_classes)), jnp.zeros(n_classes))
    kept = {"carry": (zeros, zeros), "key": jax.random.key(0)}

    def epoch() -> None:
        kept["key"], key = jax.random.split(kept["key"])
        kept["carry"], losses = run(kept["carry"], key)
        losses.block_until_ready()

    def accuracy() -> float:
        weights, intercepts = kept["carry"][0]
        x = jnp.from_dlpack(test[0]).astype(jnp.float32) * scale
        scores = x @ weights + intercepts
        return float((np.asarray(scores.argmax(1)) == test[1]).mean())

    return epoch, accuracy


def lbfgs(X: Any, y: Any, test: Any) -> tuple[Callable[[], Any], Callable[[], float]]:
    """Return a whole fit of scikit-learn's LogisticRegression, and its accuracy."""
    import sklearn
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(solver="lbfgs", C=1e4 / len(y), max_iter=200)

    def fit() -> None:
        with sklearn.config_context(array_api_dispatch=True):
            model.fit(X, y)

    def accuracy() -> float:
        with sklearn.config_context(array_api_dispatch=True):
            return float((model.predict(test[0]) == test[1]).mean())

    return fit, accuracy
