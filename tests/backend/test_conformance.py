"""check_backend passes every installed backend, and fails backends that are a little wrong."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_digits

from sksoftmax import SoftmaxClassifier, get_backend, list_backends
from sksoftmax.backend.array_trainer import ArrayTrainer
from sksoftmax.backend.optimizers import soft_threshold
from sksoftmax.testing import check_backend
from sksoftmax_numpy import trainer as numpy_trainer

AVAILABLE = [info.name for info in list_backends() if info.available]


@pytest.mark.parametrize("name", AVAILABLE)
def test_installed_backend_follows_the_reference(name):
    reports = check_backend(get_backend(name))
    refused = [report.name for report in reports if report.refused]
    assert all(name == "torch" and case.startswith("csr, ") for case in refused)


@pytest.mark.parametrize("has_small_kernels", [True, False])
def test_numpy_blocks_for_either_kind_of_blas_follow_the_reference(
    has_small_kernels, monkeypatch
):
    monkeypatch.setattr(numpy_trainer, "_has_small_kernels", lambda: has_small_kernels)
    X, y = load_digits(return_X_y=True)
    X = np.tile(X, 10)  # so wide that a batch takes several blocks of either kind
    reference = get_backend("numpy")
    reference.trainer = ArrayTrainer
    fitted, expected = (
        SoftmaxClassifier(
            backend=backend, batch_size=601, max_iter=3, tol=None, random_state=0
        ).fit(X, y)
        for backend in ("numpy", reference)
    )
    assert_allclose(fitted.coef_, expected.coef_, rtol=1e-9, atol=1e-12)
    assert_allclose(fitted.intercept_, expected.intercept_, rtol=1e-9)
    assert_allclose(fitted.loss_curve_, expected.loss_curve_, rtol=1e-12)


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
        for name in self._memory:
            self._memory[name] = state.memory.get(name, self._memory[name])


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


class GradientInTheDtypeOfSteps(ArrayTrainer):
    def loss_gradient(self, parameters, X, y, weights):
        parameters = parameters.astype(self.problem.dtype)
        return super().loss_gradient(parameters, X, y, weights)


class GradientOfRowsThatAreNotCentred(ArrayTrainer):
    def loss_gradient(self, parameters, X, y, weights):
        loss, gradient = super().loss_gradient(parameters, X, y, weights)
        if self.problem.means is not None:
            gradient[..., :-1] += gradient[..., -1:] * self.problem.means
        return loss, gradient


class HessianWithoutWeights(ArrayTrainer):
    def hessian(self, parameters, X, weights, *, only_intercepts):
        return super().hessian(parameters, X, None, only_intercepts=only_intercepts)


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
        GradientInTheDtypeOfSteps,
        GradientOfRowsThatAreNotCentred,
        HessianWithoutWeights,
    ],
)
def test_wrong_backend_is_caught(trainer):
    backend = get_backend("numpy")
    backend.trainer = trainer
    with pytest.raises(AssertionError, match="off by"):
        check_backend(backend)
