"""How many rows an automatic batch has."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sksoftmax import SoftmaxClassifier
from sksoftmax.training.passes import automatic_batch_size


@given(st.integers(1, 10**9))
def test_about_32_steps_an_epoch_by_64_to_256_rows(n_rows):
    size = automatic_batch_size(n_rows)
    if n_rows <= 64:
        assert size == n_rows
        return
    assert math.log2(size).is_integer()
    n_steps = n_rows / size
    if size > 64:
        assert n_steps >= 32 / math.sqrt(2)
    if size < 256:
        assert n_steps <= 32 * math.sqrt(2)
    assert 64 <= size <= 256


def test_an_epoch_takes_that_many_steps():
    rng = np.random.default_rng(0)
    for n_rows, n_steps in (64, 1), (65, 2), (4096, 32), (20_000, 79):
        X, y = rng.standard_normal((n_rows, 3)), np.arange(n_rows) % 2
        clf = SoftmaxClassifier(max_iter=1, tol=None, random_state=0).fit(X + y[:, None], y)
        assert clf.t_ == n_steps
