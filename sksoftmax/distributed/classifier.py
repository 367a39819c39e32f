"""DistributedSoftmaxClassifier: SoftmaxClassifier, of which each process knows some rows.

Here ranks agree on parameters and on the model that training goes on from; ``fit`` beside it
has the steps of a fit in which they must agree. This module must not know MPI, nor what such a
step does.
"""

from __future__ import annotations

import copy
import inspect
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.metaestimators import available_if

from sksoftmax._scikit_learn import HasMethods, validate_parameter_constraints
from sksoftmax.distributed.fit import ShardFit
from sksoftmax.distributed.ranks import Ranks
from sksoftmax.estimators.classifier import SoftmaxClassifier
from sksoftmax.estimators.constraints import takes_chunks
from sksoftmax.estimators.fit import Fit
from sksoftmax.training.checkpoint import Checkpoint

MAY_DIFFER_BETWEEN_RANKS = ("comm", "backend", "random_state", "verbose")
"""Parameters that are allowed to differ, or are compared when their effect is known."""


class DistributedSoftmaxClassifier(SoftmaxClassifier):
    """Softmax regression by minibatch SGD, trained by several processes over MPI.

    Data-parallel synchronous SGD: all processes ("ranks") run the same program, and each calls
    `fit` with its own rows, which never leave it. A step is one on a batch of all ranks' rows:
    each rank computes the gradient of its share of the batch, one Allreduce adds the shares
    up, and all ranks take the same step. On one process it is `SoftmaxClassifier`, bit for
    bit.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm or None, default=None
        The processes that train together; None for all that ``mpiexec`` has started. Clones
        share it. A pickle or a deep copy has None, since a communicator is of one process.
    **parameters
        Those of `SoftmaxClassifier`, the same on all ranks. `batch_size` counts the rows of
        all ranks. The seed is drawn from rank 0's `random_state`, and `verbose` prints there
        only. `backend` is a name or object of NumPy's or Numba's, or another with a
        ``reducing_trainer``; "auto" as ever. With `early_stopping`, each rank holds out
        `validation_fraction` of its own rows.

    Attributes
    ----------
    classes_, coef_, intercept_, ...
        Those of `SoftmaxClassifier`, of all ranks' rows, bit for bit the same on all ranks.

    See Also
    --------
    sksoftmax.SoftmaxClassifier : The same on one process.

    Notes
    -----
    Shards may be of any size, even empty, and may lack classes; of each batch a rank has a
    share in proportion to its rows, to within a few. Each rank shuffles its own rows, so a
    result depends on how the rows are dealt out, and so do the first automatic step and the
    scales of rare features, which are means of what each rank measures on a sample of its own.

    Sparse rows are trained by dense updates: a step costs n_features times n_classes.

    All ranks must make the same calls in the same order. What fails on one rank raises on all
    of them: ValueError if it was one, else RuntimeError, naming the rank and its message. An
    interrupt takes effect about a second later. A process that is killed takes the others with
    it, as ``mpiexec`` ends them. Errors *outside* `fit` and `partial_fit` are up to the
    program: start it by ``mpiexec -n 4 python -m mpi4py program.py``, which ends all ranks
    when one of them ends by an exception.

    References
    ----------
    Chen, Pan, Monga, Bengio and Jozefowicz, "Revisiting distributed synchronous SGD", ICLR
    workshop, 2016.

    Examples
    --------
    On one process, all rows are its own:

    >>> from sklearn.datasets import load_wine
    >>> from sksoftmax.distributed import DistributedSoftmaxClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> clf = DistributedSoftmaxClassifier(random_state=0).fit(X, y)
    >>> print(f"{clf.score(X, y):.0%}")
    100%
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **SoftmaxClassifier._parameter_constraints,
        "comm": [HasMethods(["Allreduce", "Bcast", "allgather", "allreduce", "bcast"]), None],
    }
    _ranks: Ranks

    def __init__(self, *, comm: Any = None, **parameters: Any):
        super().__init__(**parameters)
        self.comm = comm

    # What get_params and repr read: all parameters, by name.
    __init__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            *inspect.signature(SoftmaxClassifier.__init__).parameters.values(),
            inspect.signature(__init__).parameters["comm"],
        ]
    )

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Fit the model to the rows of all ranks.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            This rank's rows, of which there may be none; n_features and dtype are the same on
            all ranks. A slice of a memory-mapped array will do.
        y : array-like of shape (n_samples,)
            Their labels, of one kind on all ranks: integers, say, or strings.
        sample_weight : array-like of shape (n_samples,), default=None
            Their non-negative weights, in the same unit on all ranks; None for ones.
        X_val : array-like of shape (n_val, n_features), default=None
            This rank's rows to validate on under `early_stopping`; the losses of all ranks'
            rows are added up, and ranks without any pass None.
        y_val : array-like of shape (n_val,), default=None
            Their labels.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their non-negative weights.

        Returns
        -------
        DistributedSoftmaxClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            As `SoftmaxClassifier.fit`, and if the ranks differ in what must be the same, or a
            ValueError is raised on another rank. On each rank, a model fitted before is then
            left as it was.
        RuntimeError
            If anything else is raised on another rank.
        ImportError
            If mpi4py is not installed.

        Examples
        --------
        >>> from sksoftmax.distributed import DistributedSoftmaxClassifier
        >>> clf = DistributedSoftmaxClassifier().fit([[0], [1], [2], [3]], [0, 0, 1, 1])
        >>> clf.predict([[-1], [4]]).tolist()
        [0, 1]
        """
        with self._together(goes_on=self.warm_start):
            super().fit(
                X,
                y,
                sample_weight,
                X_val=X_val,
                y_val=y_val,
                sample_weight_val=sample_weight_val,
            )
        return self

    @available_if(takes_chunks)  # type: ignore[untyped-decorator]
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Run one epoch over a chunk of each rank's stream.

        All ranks call it equally often. A rank whose stream has ended passes no rows.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows of this rank's chunk, of which there may be none.
        y : array-like of shape (n_samples,)
            Their labels.
        classes : array-like of shape (n_classes,), default=None
            All labels that the streams may hold. Needed in the first call only.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, in the same unit in every chunk and on all ranks.
        X_val : array-like of shape (n_val, n_features), default=None
            This rank's rows to validate on.
        y_val : array-like of shape (n_val,), default=None
            Their labels, from `classes`.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their non-negative weights.

        Returns
        -------
        DistributedSoftmaxClassifier
            The fitted estimator.

        Raises
        ------
        ValueError, RuntimeError, ImportError
            As `SoftmaxClassifier.partial_fit`, and as `fit`.

        Examples
        --------
        >>> from sksoftmax.distributed import DistributedSoftmaxClassifier
        >>> clf = DistributedSoftmaxClassifier(random_state=0)
        >>> for _ in range(20):
        ...     clf = clf.partial_fit([[0], [1], [2], [3]], [0, 0, 1, 1], classes=[0, 1])
        >>> clf.predict([[0], [3]]).tolist()
        [0, 1]
        """
        with self._together(goes_on=True):
            super().partial_fit(
                X,
                y,
                classes,
                sample_weight,
                X_val=X_val,
                y_val=y_val,
                sample_weight_val=sample_weight_val,
            )
        return self

    def dual_gap(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Return a bound on how far above its least value the objective of all rows is.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            This rank's rows, of which there may be none.
        y : array-like of shape (n_samples,)
            Their labels, from `classes_`.
        sample_weight : array-like of shape (n_samples,), default=None
            Their non-negative weights, in the same unit on all ranks; None for ones.

        Returns
        -------
        float
            As `SoftmaxClassifier.dual_gap`, the same on all ranks.

        Raises
        ------
        ValueError, RuntimeError, ImportError
            As `SoftmaxClassifier.dual_gap`, and as `fit`.

        Examples
        --------
        >>> from sksoftmax.distributed import DistributedSoftmaxClassifier
        >>> X, y = [[0], [1], [2], [3]], [0, 0, 1, 1]
        >>> clf = DistributedSoftmaxClassifier(random_state=0).fit(X, y)
        >>> print(f"{clf.dual_gap(X, y):.2f}")
        0.00
        """
        with self._together(goes_on=False):
            return super().dual_gap(X, y, sample_weight)

    def __sklearn_clone__(self) -> Self:
        alone = self._without_communicator()
        cloned: Self = super(DistributedSoftmaxClassifier, alone).__sklearn_clone__()
        cloned.comm = self.comm
        return cloned

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        alone = self._without_communicator()
        copied: Self = super(DistributedSoftmaxClassifier, alone).__deepcopy__(memo)
        memo[id(self)] = copied
        return copied

    def _without_communicator(self) -> Self:
        """A shallow copy, without what cannot be copied deeply."""
        alone = copy.copy(self)
        alone.comm = None
        alone.__dict__.pop("_ranks", None)
        return alone

    def __getstate__(self) -> dict[str, Any]:
        state = {**super().__getstate__(), "comm": None}
        state.pop("_ranks", None)
        return state

    @contextmanager
    def _together(self, *, goes_on: bool) -> Iterator[None]:
        """Train on all ranks, or leave the estimator of each as it was."""
        # By itself: until the communicator is known to be one, nobody can be told of errors.
        comm = {"comm": self._parameter_constraints["comm"]}
        validate_parameter_constraints(comm, {"comm": self.comm}, type(self).__name__)
        ranks = Ranks(self.comm)
        with self._unchanged_on_error(), ranks.together():
            self._ranks = ranks
            self._validate_params()
            parameters = self.get_params(deep=False).items()
            ranks.require_same(
                {
                    name: value
                    for name, value in parameters
                    if name not in MAY_DIFFER_BETWEEN_RANKS
                },
                "Give all ranks the same parameters.",
            )
            resumed = self._resumable() if goes_on else None
            digest = None
            if resumed is not None:
                arrays = resumed.state.parameters, resumed.state.average
                checksums = [zlib.crc32(np.ascontiguousarray(a).data) for a in arrays]
                digest = (resumed.seed, resumed.n_epochs, resumed.state.n_steps, *checksums)
            ranks.require_same(
                {"The model that training goes on from": digest},
                "Give all ranks a copy of the same fitted model, or one that is not fitted.",
            )
            yield
            del self._ranks

    def _new_fit(self, resume: Checkpoint | None, *, is_stream: bool = False) -> Fit:
        return ShardFit(self, resume, is_stream=is_stream, ranks=self._ranks)
