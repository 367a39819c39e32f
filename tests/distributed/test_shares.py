"""Shares of batches: they add up to batches, and trainers take them as they come."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from sksoftmax import get_backend, list_backends
from sksoftmax.backend.array_trainer import ArrayTrainer
from sksoftmax.backend.contract import ReducingBackend
from sksoftmax.backend.problem import Problem, Rule
from sksoftmax.backend.state import State
from sksoftmax.distributed.shares import share_ends

BACKENDS = [info.name for info in list_backends() if info.available]
counts = st.lists(st.integers(0, 50), min_size=1, max_size=9).filter(any)


@given(counts, st.integers(1, 60))
def test_shares_add_up_to_batches_of_all_rows(rows_of_rank, batch_size):
    ends = np.array([share_ends(rows_of_rank, r, batch_size) for r in range(len(rows_of_rank))])
    shares = np.diff(ends, axis=1, prepend=0)
    assert (shares >= 0).all()
    np.testing.assert_array_equal(ends[:, -1], rows_of_rank)
    np.testing.assert_array_equal(shares.sum(axis=0)[:-1], batch_size)
    assert 0 < shares.sum(axis=0)[-1] <= batch_size


@given(counts, st.integers(1, 60))
def test_rows_of_every_rank_are_spread_evenly(rows_of_rank, batch_size):
    n_rows, n_halvings = sum(rows_of_rank), np.ceil(np.log2(len(rows_of_rank)))
    for rank, count in enumerate(rows_of_rank):
        ends = share_ends(rows_of_rank, rank, batch_size)
        fair = np.minimum(batch_size * np.arange(1, len(ends) + 1), n_rows) * count / n_rows
        assert (abs(ends - fair) <= n_halvings).all()


@given(st.lists(st.integers(0, 2**40), min_size=2, max_size=9).filter(any))
def test_counts_beyond_two_to_the_31(rows_of_rank):
    batch_size = -(-sum(rows_of_rank) // 7)
    ends = [share_ends(rows_of_rank, r, batch_size) for r in range(len(rows_of_rank))]
    assert [e[-1] for e in ends] == rows_of_rank
    assert (np.diff(ends, axis=1, prepend=0) >= 0).all()
    assert (np.sum(ends, axis=0)[:-1] == batch_size * np.arange(1, len(ends[0]))).all()


def test_which_backends_add_up_gradients():
    adding = [name for name in BACKENDS if isinstance(get_backend(name), ReducingBackend)]
    assert set(adding) >= {"numpy"}
    assert not {"cupy", "torch"} & set(adding)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("backend", [b for b in BACKENDS if b not in ("cupy", "torch")])
def test_trainers_take_batches_of_any_length(backend, dtype, shuffle):
    X, y = load_digits(return_X_y=True)
    X, y = X.astype(dtype), y.astype(np.int32)
    one = np.ones(1)
    problem = Problem(
        X=X, y=y, weights=None, n_classes=10, dtype=np.dtype(dtype), batch_size=256,
        l2=1e-3 * one, l1=0 * one, rule=Rule(momentum=0.9 * one), penalty_share=1, average=True,
        fit_intercept=True, means=X.mean(axis=0, dtype=float),
        scales=np.ones(64), step_scales=np.full(64, 16.0),
    )  # fmt: skip
    order = np.random.default_rng(0).permutation(1000) if shuffle else np.arange(1000)
    state = State.zeros(1, 10, 64, problem.dtype)

    def unchanged(gradient):
        return gradient

    tuned = get_backend(backend).reducing_trainer(problem, state, unchanged)
    plain = ArrayTrainer(problem, state, reduce=unchanged)
    losses = []
    for trainer in (tuned, plain):
        trainer.batch_ends = np.array([0, 200, 200, 201, 457, 999, 1000, 1000])
        losses.append([trainer.run_epoch(order, np.full((1, 8), 0.1)) for _ in range(2)])
        trainer.batch_ends = np.array([0, 0])
        assert np.isfinite(trainer.run_epoch(order[:0], np.full((1, 2), 0.1))).all()
    tolerance = 1e-4 if dtype == np.float32 else 1e-10
    np.testing.assert_allclose(*losses, rtol=tolerance)
    for array, expected in zip(tuned.arrays(), plain.arrays(), strict=True):
        scale = abs(expected).max()
        np.testing.assert_allclose(array, expected, rtol=0, atol=tolerance * scale)
