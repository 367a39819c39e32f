"""Softmax regression as people write it in PyTorch, as an estimator on the CPU.

Importing this module needs torch. It must not know what is measured.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from torch import nn

torch.set_num_threads(1)


class LinearAdam:
    """``nn.Linear`` with cross-entropy and Adam: the first example of every tutorial."""

    def __init__(self, epochs: int, seed: int, rate: float, batch_size: int):
        self.epochs = epochs
        self.seed = seed
        self.rate = rate
        self.batch_size = batch_size

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Run the epochs, each over a random permutation; the tensors share the memory of X."""
        torch.manual_seed(self.seed)
        rows, labels = torch.from_numpy(X), torch.from_numpy(y)
        self.layer = nn.Linear(X.shape[1], int(y.max()) + 1)
        optimizer = torch.optim.Adam(self.layer.parameters(), lr=self.rate)
        loss = nn.CrossEntropyLoss()
        for _ in range(self.epochs):
            for batch in torch.randperm(len(rows)).split(self.batch_size):
                optimizer.zero_grad()
                loss(self.layer(rows[batch]), labels[batch]).backward()
                optimizer.step()
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the class of the highest score."""
        with torch.no_grad():
            labels: np.ndarray = self.layer(torch.from_numpy(X)).argmax(dim=1).numpy()
        return labels
