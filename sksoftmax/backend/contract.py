"""What a backend and its trainers must be able to do, and what they may do besides.

The core asks nothing of a backend that is not written here. This module must not know any
estimator, nor how anything is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.array_trainer import ArrayTrainer
from sksoftmax.backend.moments import Moments
from sksoftmax.backend.problem import Problem
from sksoftmax.backend.state import State
from sksoftmax.data.arrays import Array


class Trainer(Protocol):
    """A problem in training: everything between two epochs belongs to it."""

    def run_epoch(
        self, order: NDArray[np.int64], step_sizes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Take one step for each batch of `order`.

        Parameters
        ----------
        order : ndarray of shape (n_rows,), int64
            Rows of X, each at most once; batch ``i`` is
            ``order[i * batch_size:(i + 1) * batch_size]`` and the short last one is kept.
            It may be any run of whole batches of an epoch.
        step_sizes : ndarray of shape (n_models, n_batches), float64
            The step of each batch; for a rule that finds its own, what it is multiplied by.

        Returns
        -------
        ndarray of shape (n_models,), float64
            The weighted loss a row, each batch measured before its own update.
        """
        ...

    def penalty(self) -> NDArray[np.float64]:
        """Return the penalty where the next gradient is taken.

        Returns
        -------
        ndarray of shape (n_models,), float64
            What the objective adds to the loss.
        """
        ...

    def evaluate(
        self, X: Array, y: NDArray[np.int32], weights: NDArray[Any] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return loss and accuracy of the averaged weights on other rows.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
            Rows, placed like the problem's own.
        y : ndarray of shape (n_rows,), int32
            Class codes.
        weights : ndarray of shape (n_rows,), or None
            Row weights; None for equal ones.

        Returns
        -------
        loss, accuracy : ndarrays of shape (n_models,), float64
            Weighted means over the rows, without the penalty.
        """
        ...

    def loss_gradient(
        self,
        parameters: NDArray[Any],
        X: Array,
        y: NDArray[np.int32],
        weights: NDArray[Any] | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the loss and its gradient at given parameters.

        The dtype of the parameters says how many digits are asked for. With float64 all is
        computed in that, if the device has it, whatever the dtype of the problem: how far a
        model is from the optimum, float32 could not always tell. With float32, which dense
        rows alone are given, products may be of float32, if rows far from zero are centred
        first. The model in training neither matters nor changes.

        Parameters
        ----------
        parameters : ndarray of shape (n_models, n_classes, n_features + 1)
            In the units of a State whose `means` are those of the problem; float64 or float32.
        X : array of shape (n_rows, n_features)
            Rows, placed like the problem's own.
        y : ndarray of shape (n_rows,), int32
            Class codes.
        weights : ndarray of shape (n_rows,), or None
            Row weights; None for equal ones.

        Returns
        -------
        loss : ndarray of shape (n_models,), float64
            Weighted mean over the rows, without the penalty.
        gradient : ndarray of shape (n_models, n_classes, n_features + 1), float64
            Its derivatives by the parameters; the last column is there with `fit_intercept`
            or without.
        """
        ...

    def hessian(
        self,
        parameters: NDArray[np.float64],
        X: Array,
        weights: NDArray[Any] | None,
        *,
        only_intercepts: bool,
    ) -> NDArray[np.float64]:
        """Return the second derivatives of that loss, in float64.

        Parameters
        ----------
        parameters : ndarray of shape (n_models, n_classes, n_features + 1), float64
            In the units of `loss_gradient`.
        X : array of shape (n_rows, n_features)
            Rows, placed like the problem's own.
        weights : ndarray of shape (n_rows,), or None
            Row weights; None for equal ones.
        only_intercepts : bool
            Whether those by the intercepts alone are asked for, which may be thousands. By all
            parameters they are for a few hundred of these.

        Returns
        -------
        ndarray of shape (n_models, n, n), float64
            The weighted mean over the rows of the Kronecker product of diag(z) - z z', with z
            the probabilities, and u u': u is 1 where only intercepts count, which makes n the
            number of classes, and else the features less their means, followed by 1. Parameters
            are then in the order of ``parameters.reshape(n_models, -1)``.
        """
        ...

    def state(self) -> State:
        """Return NumPy copies of everything needed to go on from here.

        Returns
        -------
        State
            The state after the last step.
        """
        ...

    def norms(self) -> Mapping[str, NDArray[np.float64]]:
        """Return NumPy copies of the norms in the state, without the rest of it.

        They are asked for after every epoch, when all weights would often take too long.

        Returns
        -------
        mapping of str to ndarray of shape (n_models,), float64
            ``State.norms``.
        """
        ...


@runtime_checkable
class Backend(Protocol):
    """Where and how a minibatch loop runs. Stateless: one object serves many fits.

    Attributes
    ----------
    name : str
        The name under which the backend is chosen.
    version : str
        Version of the library that computes.
    device : str
        The device, in words.
    xp : module
        The array namespace of what `place` returns, with NumPy's function names.
    """

    name: str
    version: str
    device: str
    xp: Any

    def place(self, X: Array) -> Array:
        """Return X where it trains: X itself for host arrays on a CPU backend.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
            Validated rows: an array, or a SciPy CSR matrix or array.

        Returns
        -------
        array of shape (n_rows, n_features)
            An array of the namespace `xp`, or CSR with its three arrays in `xp`.
        """
        ...

    def to_numpy(self, array: Array) -> NDArray[Any]:
        """Return an array of `xp` as a NumPy array.

        Parameters
        ----------
        array : array
            An array of the namespace `xp`.

        Returns
        -------
        ndarray
            The same values on the host.
        """
        ...

    def supports(self, problem: Problem) -> str | None:
        """Say whether this backend can train a problem.

        Parameters
        ----------
        problem : Problem
            What is to be trained.

        Returns
        -------
        str or None
            None, or the reason why not, to be shown to the user.
        """
        ...

    def trainer(self, problem: Problem, state: State) -> Trainer:
        """Return a trainer that goes on from `state`.

        Parameters
        ----------
        problem : Problem
            What is to be trained; ``supports`` returned None for it.
        state : State
            Where to start; never written to.

        Returns
        -------
        Trainer
            A trainer that owns its buffers.
        """
        ...


@runtime_checkable
class MeasuringBackend(Backend, Protocol):
    """A backend that measures features faster than the core does over its arrays. Optional."""

    def feature_moments(
        self, X: Array, weights: NDArray[Any] | None, rows: NDArray[np.int64] | None
    ) -> Moments | None:
        """Return the weighted moments of the columns of X, or leave them to the core.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
            What `place` returned.
        weights : ndarray of shape (n_rows,), or None
            Row weights; None for equal ones.
        rows : ndarray of int64, or None
            The rows of positive weight; None for all.

        Returns
        -------
        Moments or None
            NumPy arrays in float64; None to leave this X to the core.
        """
        ...


@runtime_checkable
class CompilingBackend(Backend, Protocol):
    """A backend that compiles when it first meets rows of some kind. Optional."""

    def seconds_compiling(self) -> float:
        """Return what this process has spent on compiling so far.

        Returns
        -------
        float
            Seconds, which ``verbose`` tells apart from those of an epoch.
        """
        ...


@runtime_checkable
class DeviceBackend(Backend, Protocol):
    """A backend on a device that needs much work at a time. Optional.

    Attributes
    ----------
    slice_elements : int
        Elements of X that the core shall convert and sum at once when it measures features.
    """

    slice_elements: int


@runtime_checkable
class NamespaceBackend(Backend, Protocol):
    """A backend whose namespace depends on where rows lie, as on several devices. Optional."""

    def namespace(self, X: Array) -> Any:
        """Return the namespace in which the core computes with rows, in place of `xp`.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
            What `place` returned, or some rows of it.

        Returns
        -------
        module, or an object with such functions
            Its new arrays lie where X does.
        """
        ...


@runtime_checkable
class ReducingBackend(Backend, Protocol):
    """A backend whose trainers can add up the gradients of several processes. Optional."""

    def reducing_trainer(
        self, problem: Problem, state: State, reduce: Callable[[Array], Array]
    ) -> ArrayTrainer:
        """Return a trainer that goes on from `state`.

        Parameters
        ----------
        problem : Problem
            What is to be trained; it may have no row at all.
        state : State
            Where to start.
        reduce : callable
            As in ArrayTrainer, for host arrays.

        Returns
        -------
        ArrayTrainer
            A trainer that reads its `batch_ends`.
        """
        ...
