"""What the block shuffle costs in accuracy: MNIST as it is, and sorted by label.

Groups hold a 32nd of the rows and 64 blocks, as 128 MiB do of 4 GiB.
"""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.measure import machine, mnist, print_table
from sksoftmax import SoftmaxClassifier
from sksoftmax.data import order, stored

SHUFFLES = (True, "blocks", False)
N_EPOCHS = 5
N_SEEDS = 3


def accuracies(X: np.ndarray, y: np.ndarray, test: tuple, shuffle: bool | str) -> np.ndarray:
    """Mean accuracy on the test rows after each epoch, in percent."""
    found = np.zeros(N_EPOCHS)
    for seed in range(N_SEEDS):
        clf = SoftmaxClassifier(
            shuffle=shuffle, max_iter=1, tol=None, random_state=seed, warm_start=True
        )
        found += [100 * clf.fit(X, y).score(*test) for _ in range(N_EPOCHS)]
    return found / N_SEEDS


def main() -> None:
    """Compare orders on MNIST, with blocks and groups in proportion to it."""
    print(machine())
    X, y, *test = mnist()
    order.GROUP_BYTES = X.nbytes // 32
    stored.BLOCK_BYTES = order.GROUP_BYTES // 64
    sorted_rows = np.argsort(y, kind="stable")
    table = [
        (name, shuffle, *(f"{a:.2f}" for a in accuracies(X[rows], y[rows], test, shuffle)))
        for name, rows in (("as it is", slice(None)), ("sorted by label", sorted_rows))
        for shuffle in SHUFFLES
    ]
    print_table(("MNIST", "shuffle", *(f"epoch {i + 1}" for i in range(N_EPOCHS))), table)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
