"""Softmax regression as people write it in PyTorch, and in skorch, as estimators on the CPU.

Importing this module needs torch, and skorch for `skorch_classifier` alone. It must not know
what is measured.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from torch import nn

torch.set_num_threads(1)


class TorchLoop:
    """Batches by a random permutation an epoch, moved by whatever `step` does."""

    def __init__(self, epochs: int, seed: int, rate: float, batch_size: int):
        self.epochs = epochs
        self.seed = seed
        self.rate = rate
        self.batch_size = batch_size

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Run the epochs; the tensors share the memory of X."""
        torch.manual_seed(self.seed)
        rows, labels = torch.from_numpy(X), torch.from_numpy(y)
        self.start(X.shape[1], int(y.max()) + 1)
        for _ in range(self.epochs):
            for batch in torch.randperm(len(rows)).split(self.batch_size):
                self.step(rows[batch], labels[batch])
        return self

    def start(self, n_features: int, n_classes: int) -> None:
        """Make the parameters."""
        raise NotImplementedError

    def step(self, x: torch.Tensor, labels: torch.Tensor) -> None:
        """Move the parameters by one batch."""
        raise NotImplementedError

    def scores(self, X: torch.Tensor) -> torch.Tensor:
        """Return a score a class."""
        raise NotImplementedError

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the class of the highest score."""
        with torch.no_grad():
            labels: np.ndarray = self.scores(torch.from_numpy(X)).argmax(dim=1).numpy()
        return labels


class LinearAdam(TorchLoop):
    """``nn.Linear`` with cross-entropy and Adam: the first example of every tutorial."""

    def start(self, n_features: int, n_classes: int) -> None:
        """Make the layer and its optimiser."""
        self.layer = nn.Linear(n_features, n_classes)
        self.optimizer = torch.optim.Adam(self.layer.parameters(), lr=self.rate)
        self.loss = nn.CrossEntropyLoss()

    def step(self, x: torch.Tensor, labels: torch.Tensor) -> None:
        """Backpropagate one batch."""
        self.optimizer.zero_grad()
        self.loss(self.layer(x), labels).backward()
        self.optimizer.step()

    def scores(self, X: torch.Tensor) -> torch.Tensor:
        """Return what the layer says."""
        output: torch.Tensor = self.layer(X)
        return output


class GradientByHand(TorchLoop):
    """Plain SGD with the gradient written out: PyTorch without the cost of autograd."""

    def start(self, n_features: int, n_classes: int) -> None:
        """Start from zeros."""
        self.weights = torch.zeros(n_features, n_classes)
        self.bias = torch.zeros(n_classes)

    @torch.no_grad()
    def step(self, x: torch.Tensor, labels: torch.Tensor) -> None:
        """Take one step of SGD."""
        z = torch.addmm(self.bias, x, self.weights).softmax(dim=1)
        z[torch.arange(len(x)), labels] -= 1
        step = -self.rate / len(x)
        self.weights.addmm_(x.T, z, alpha=step)
        self.bias.add_(z.sum(dim=0), alpha=step)

    def scores(self, X: torch.Tensor) -> torch.Tensor:
        """Return the linear scores."""
        return torch.addmm(self.bias, X, self.weights)


def skorch_classifier(
    epochs: int, seed: int, rate: float, batch_size: int, shape: tuple[int, int]
) -> Any:
    """Return skorch's classifier around ``nn.Linear`` of shape (n_features, n_classes)."""
    from skorch import NeuralNetClassifier

    torch.manual_seed(seed)
    return NeuralNetClassifier(
        nn.Linear,
        module__in_features=shape[0],
        module__out_features=shape[1],
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=rate,
        max_epochs=epochs,
        batch_size=batch_size,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
