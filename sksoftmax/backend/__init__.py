"""The seam between an estimator and whatever runs its minibatch loop.

All that the author of a backend needs is imported from here. ``contract`` says what a backend
must do, ``problem`` what it is given, and ``state`` from where it goes on. ``array_trainer``
with ``softmax_model``, and with the rules in ``optimizers`` and ``distance_over_gradients``,
does that over any array namespace, ``statistics`` measures features as ``moments``,
``stack_trainer`` trains several models, ``sparse`` takes CSR rows, and ``blocks`` brings rows
in a file to any of them; ``cpu`` chooses among them on a CPU, ``registry`` among backends. This
package must not know any estimator.
"""

from sksoftmax._scikit_learn import _get_threadpool_controller as threadpool_controller
from sksoftmax.backend.array_trainer import ArrayTrainer
from sksoftmax.backend.blocks import FeedingTrainer
from sksoftmax.backend.contract import (
    Backend,
    CompilingBackend,
    DeviceBackend,
    MeasuringBackend,
    NamespaceBackend,
    ReducingBackend,
    Trainer,
)
from sksoftmax.backend.cpu import CpuBackend
from sksoftmax.backend.distance_over_gradients import TINY, DistanceOverGradients, squared_norm
from sksoftmax.backend.moments import Moments
from sksoftmax.backend.optimizers import averaging_weight, soft_threshold
from sksoftmax.backend.problem import Problem, Rule
from sksoftmax.backend.sparse.dense_updates import DenseUpdateTrainer
from sksoftmax.backend.sparse.distance import DistanceTrainer
from sksoftmax.backend.sparse.distance_law import (
    LARGEST_FACTOR,
    LARGEST_LOSS,
    LEAST_DETERMINANT,
)
from sksoftmax.backend.sparse.momentum import LinearTrainer
from sksoftmax.backend.stack_trainer import StackTrainer
from sksoftmax.backend.state import State
from sksoftmax.data.arrays import Array, training_dtype
from sksoftmax.data.rows import is_csr, row_slices

__all__ = [
    "LARGEST_FACTOR",
    "LARGEST_LOSS",
    "LEAST_DETERMINANT",
    "TINY",
    "Array",
    "ArrayTrainer",
    "Backend",
    "CompilingBackend",
    "CpuBackend",
    "DenseUpdateTrainer",
    "DeviceBackend",
    "DistanceOverGradients",
    "DistanceTrainer",
    "FeedingTrainer",
    "LinearTrainer",
    "MeasuringBackend",
    "Moments",
    "NamespaceBackend",
    "Problem",
    "ReducingBackend",
    "Rule",
    "StackTrainer",
    "State",
    "Trainer",
    "averaging_weight",
    "is_csr",
    "row_slices",
    "soft_threshold",
    "squared_norm",
    "threadpool_controller",
    "training_dtype",
]
