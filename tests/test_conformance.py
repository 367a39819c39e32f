"""check_backend passes every installed backend, and fails backends that are a little wrong."""

import numpy as np
import pytest

from sksoftmax import get_backend, list_backends
from sksoftmax.array_trainer import ArrayTrainer
from sksoftmax.optimizers import soft_threshold
from sksoftmax.testing import check_backend

AVAILABLE = [info.name for info in list_backends() if info.available]


@pytest.mark.parametrize("name", AVAILABLE)
def test_installed_backend_follows_the_reference(name):
    reports = check_backend(get_backend(name))
    assert not any(report.refused for report in reports)


class DividesShortBatchByItsLength(ArrayTrainer):
    def _step(self, rows, step):
        return super()._step(rows, step * (self.problem.batch_size / len(rows)))


class ForgetsWeights(ArrayTrainer):
    def __init__(self, problem, state):
        super().__init__(problem, state)
        self._weights = None


class ForgetsCentring(ArrayTrainer):
    def _set_state(self, state):
        super()._set_state(state)
        if self._means is not None and state.n_steps > 0:
            self._means = self._means * 1.001


class CountsStepsAnew(ArrayTrainer):
    def run_epoch(self, order, step_sizes):
        self._n_steps = 0
        return super().run_epoch(order, step_sizes)


class PenaltyOfTheLastIterate(ArrayTrainer):
    def run_epoch(self, order, step_sizes):
        before = self._penalty()
        return super().run_epoch(order, step_sizes) - before + self._penalty()


class LendsItsArrays(ArrayTrainer):
    def _to_numpy(self, array):
        return np.asarray(array)


class WritesIntoTheState(ArrayTrainer):
    def _set_state(self, state):
        super()._set_state(state)
        self._parameters = state.parameters
        for name in self._moments:
            self._moments[name] = state.moments.get(name, self._moments[name])


class EvaluatesWithoutWeights(ArrayTrainer):
    def evaluate(self, X, y, weights):
        return super().evaluate(X, y, None)


class KeepsTheVelocityThatTheThresholdStopped(ArrayTrainer):
    def _step(self, rows, step):
        threshold, self._threshold = self._threshold, None
        loss = super()._step(rows, step)
        if threshold is not None:
            soft_threshold(np, self._parameters, threshold * step)
            self._threshold = threshold
        return loss


class EvaluatesWithoutZeros(ArrayTrainer):
    def evaluate(self, X, y, weights):
        zeros = self._parameters == 0
        self._parameters[zeros] = np.finfo(float).tiny
        measured = super().evaluate(X, y, weights)
        self._parameters[zeros] = 0
        return measured


@pytest.mark.parametrize(
    "trainer",
    [
        DividesShortBatchByItsLength,
        ForgetsWeights,
        ForgetsCentring,
        CountsStepsAnew,
        PenaltyOfTheLastIterate,
        LendsItsArrays,
        WritesIntoTheState,
        EvaluatesWithoutWeights,
        KeepsTheVelocityThatTheThresholdStopped,
        EvaluatesWithoutZeros,
    ],
)
def test_wrong_backend_is_caught(trainer):
    backend = get_backend("numpy")
    backend.trainer = trainer
    with pytest.raises(AssertionError, match="off by"):
        check_backend(backend)
