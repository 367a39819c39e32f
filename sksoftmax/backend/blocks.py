"""Training on rows that are read in blocks, by whatever backend trains on rows in memory.

A group of blocks at a time is read into a buffer, on which the backend's own trainer then
runs: only the reading is ours. Statistics are those of the blocks, merged. This module must not
know files, nor how anything is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.contract import Backend, Trainer
from sksoftmax.backend.moments import Moments
from sksoftmax.backend.problem import Problem
from sksoftmax.backend.state import State
from sksoftmax.backend.statistics import computing_namespace, feature_moments
from sksoftmax.data.arrays import Array
from sksoftmax.data.stored import StoredRows


class BlockBackend:
    """Another backend, for rows that are read in blocks.

    Parameters
    ----------
    backend : Backend
        What trains.

    Attributes
    ----------
    name, version, device, xp
        Its own.
    """

    def __init__(self, backend: Backend):
        self._backend = backend
        self.name = backend.name
        self.version = backend.version
        self.device = backend.device
        self.xp = backend.xp

    def place(self, X: Any) -> Any:
        """Return rows whose blocks come to the backend as they are read."""
        return (
            X.placed(self._backend.place)
            if isinstance(X, StoredRows)
            else self._backend.place(X)
        )

    def namespace(self, X: Array) -> Any:
        """Return the namespace in which the backend computes with rows that were read."""
        return computing_namespace(self._backend, X)

    def to_numpy(self, array: Array) -> NDArray[Any]:
        """Return an array of the backend as a NumPy array."""
        return self._backend.to_numpy(array)

    def supports(self, problem: Problem) -> str | None:
        """Ask the backend, with one row of the dtype in question."""
        # StoredRows are never placed as a whole: one row stands for their dtype and layout.
        one_row = self._backend.place(np.zeros((1, problem.n_features), problem.X.dtype))
        return self._backend.supports(replace(problem, X=one_row))

    def trainer(self, problem: Problem, state: State) -> BlockTrainer:
        """Return a trainer that reads the blocks and has the backend train on them."""
        return BlockTrainer(self._backend, problem, state)

    def feature_moments(
        self, X: StoredRows, weights: NDArray[Any] | None, rows: NDArray[np.int64] | None
    ) -> Moments:
        """Return the weighted moments of the columns of X, merged from those of its blocks."""
        merged: Moments | None = None
        for where, chosen, block in X.blocks(rows):
            w = None if weights is None else weights[where]
            # Of one block at a time, whichever way the backend measures rows in memory.
            moments = feature_moments(self._backend, block, w, chosen)
            merged = moments if merged is None else merged.merge(moments)
        assert merged is not None, "some row counts"
        return merged


class FeedingTrainer:
    """A trainer whose `_trainer` has the model, and is asked for all but an epoch."""

    _trainer: Trainer

    def penalty(self) -> NDArray[np.float64]:
        """Return the penalty where the next gradient is taken."""
        return self._trainer.penalty()

    def evaluate(
        self, X: Array, y: NDArray[np.int32], weights: NDArray[Any] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return loss and accuracy of the averaged weights on other rows."""
        return self._trainer.evaluate(X, y, weights)

    def loss_gradient(
        self,
        parameters: NDArray[np.float64],
        X: Array,
        y: NDArray[np.int32],
        weights: NDArray[Any] | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the loss on some rows and its gradient at given parameters."""
        return self._trainer.loss_gradient(parameters, X, y, weights)

    def hessian(
        self,
        parameters: NDArray[np.float64],
        X: Array,
        weights: NDArray[Any] | None,
        *,
        only_intercepts: bool,
    ) -> NDArray[np.float64]:
        """Return the second derivatives of that loss."""
        return self._trainer.hessian(parameters, X, weights, only_intercepts=only_intercepts)

    def state(self) -> State:
        """Return NumPy copies of everything needed to go on from here."""
        return self._trainer.state()

    def norms(self) -> Mapping[str, NDArray[np.float64]]:
        """Return NumPy copies of the norms in the state, without the rest of it."""
        return self._trainer.norms()


class BlockTrainer(FeedingTrainer):
    """A trainer that reads the rows it is given an order of, and lets another one train.

    A block is read into a buffer when the first of its rows is wanted, and stays there until
    rows of another block are. Rows that have not been trained on by then move to the front of
    the buffer.

    Parameters
    ----------
    backend : Backend
        Whose trainer trains.
    problem : Problem
        What is trained; its X is a StoredRows.
    state : State
        Where it starts.
    """

    def __init__(self, backend: Backend, problem: Problem, state: State):
        self._backend = backend
        self._problem = problem
        self._buffer = np.empty((0, problem.n_features), problem.X.dtype)
        self._is_new = np.zeros(0, bool)  # of each row in the buffer: not yet trained on
        self._start = np.full(problem.X.n_blocks, -1)  # of each block in the buffer
        one_row = np.zeros((1, problem.n_features), problem.X.dtype)
        self._trainer = self._trainer_on(one_row, np.zeros(1, np.int64), state)

    def _trainer_on(self, x: NDArray[Any], rows: NDArray[np.int64], state: State) -> Trainer:
        """A trainer of the backend on some rows of the problem."""
        weights = self._problem.weights
        problem = replace(
            self._problem,
            X=self._backend.place(x),
            y=self._problem.y[rows],
            weights=None if weights is None else weights[rows],
        )
        return self._backend.trainer(problem, state)

    def run_epoch(
        self, order: NDArray[np.int64], step_sizes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Take one step for each batch of `order`."""
        # Where each row is in the buffer: the start of its block, and its number within that.
        block = order // self._problem.X.block_rows
        position = self._start[block] + order % self._problem.X.block_rows
        # A row that has been trained on since it was read is wanted for another epoch, which
        # reads its block anew.
        missing = self._start[block] < 0
        missing[~missing] = ~self._is_new[position[~missing]]
        if missing.any():
            position = self._read(order, block, position, missing)
        self._is_new[position] = (self._start >= 0).all()  # all there is: no need to read again
        return self._trainer.run_epoch(position, step_sizes)

    def _read(
        self,
        order: NDArray[np.int64],
        block: NDArray[np.int64],
        position: NDArray[np.int64],
        missing: NDArray[np.bool_],
    ) -> NDArray[np.int64]:
        """Read the blocks of missing rows; return where the rows of an order are now."""
        X = self._problem.X
        # The new buffer: the rows kept, in the order they are wanted in, then whole blocks.
        kept = np.flatnonzero(~missing)
        wanted = np.zeros(X.n_blocks, bool)
        wanted[block[missing]] = True
        bounds = [X.bounds(b) for b in np.flatnonzero(wanted)]
        rows = np.concatenate([order[kept], *(np.arange(*b) for b in bounds)])
        # A trainer lays out its buffers for the rows that it sees: never fewer than a batch.
        spare = max(0, self._problem.batch_size - len(rows))
        rows = np.append(rows, np.zeros(spare, np.int64))
        # Rows kept move first, since reading writes over the places that they leave.
        self._make_room(len(rows), position[kept])
        self._start[:] = -1
        end = len(kept)
        for b, (start, stop) in zip(np.flatnonzero(wanted), bounds, strict=True):
            self._start[b] = end
            end += stop - start
            X.read(start, stop, out=self._buffer[self._start[b] : end])
        self._is_new = np.ones(end, bool)
        self._trainer = self._trainer_on(self._buffer[: len(rows)], rows, self._trainer.state())
        position = self._start[block] + order % X.block_rows
        # A row that was kept is at the front, not where its block begins.
        position[kept] = np.arange(len(kept))
        return position

    def _make_room(self, n_rows: int, kept: NDArray[np.int64]) -> None:
        """Move what is kept to the front of a buffer that holds so many rows."""
        rows = self._buffer[kept]
        if n_rows > len(self._buffer):
            room = n_rows + self._problem.batch_size  # for what the next group finds left
            self._buffer = np.empty((room, self._problem.n_features), self._buffer.dtype)
        self._buffer[: len(rows)] = rows
