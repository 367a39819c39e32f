"""When a fit stops: by what can still be gained, whatever noise adds to the loss."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.datasets import load_digits, make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sksoftmax import SoftmaxClassifier, get_backend
from sksoftmax.backend import ArrayTrainer
from sksoftmax.backend.problem import Rule
from sksoftmax.training.stopping import Plateau, StepNoise


def objective(clf, X, y):
    """That of the model kept, for more than two classes."""
    logs = log_softmax(clf.decision_function(X), axis=1)
    penalty = clf.alpha_ / 2 * ((clf.coef_ * clf.scale_) ** 2).sum()
    return -logs[np.arange(len(y)), y].mean() + penalty


def epochs_until_stopped(losses, **parameters):
    plateau = Plateau(**{"tol": 0.01, "n_iter_no_change": 2, "n_batches": 100} | parameters)
    return next((n for n, loss in enumerate(losses, 1) if plateau.reached(loss)), None)


def falling(start, end, share=0.5):
    """Losses that come nearer to their end by a share of the way in each epoch."""
    return start + (end - start) * (1 - share ** np.arange(1, 500))


@pytest.mark.parametrize(
    "losses",
    [[1.2] * 9, [1 - 1e-4] * 9, [0.5, 0.3, 0.4, 0.35, 0.4]],
    ids=["above the baseline", "at the baseline", "risen again"],
)
def test_what_iterations_may_mend_is_no_end_of_steps(losses):
    assert epochs_until_stopped(losses, baseline=1.0) < len(losses)
    assert epochs_until_stopped(losses, baseline=1.0, has_successor=True) is None
    settled = [0.5, 0.3, 0.302, 0.301]
    assert epochs_until_stopped(settled, baseline=1.0, has_successor=True) == len(settled)


def test_the_way_down_of_the_first_epoch_is_no_noise():
    rule = Rule("distance-over-gradients", momentum=np.zeros(1), nearness=0.8)
    noise = StepNoise(rule, 10, {})
    assert noise.rise({"squares": np.array([1e6])}, 1.0) == 0
    assert noise.rise({"squares": np.array([1.21e6])}, 1.0) == pytest.approx(1.0)


def test_a_small_gain_is_the_measure_of_itself():
    # A hundredth of the baseline, 1, is a fifth of all there is to gain of 0.05.
    n_epochs = [
        epochs_until_stopped(falling(1.0, 1 - gain), baseline=1.0) for gain in (0.05, 0.2)
    ]
    assert n_epochs[0] == n_epochs[1] > 6


@pytest.mark.parametrize("end", [1.0, 1.2, 0.9999])
def test_no_gain_at_all_ends_a_fit_soon(end):
    assert epochs_until_stopped(falling(1.5, end), baseline=1.0) < 25


def test_a_long_second_half_has_to_gain_more():
    slow = 1 / np.sqrt(np.arange(1, 20_000))  # what a half gains falls like this, too
    of_epochs = epochs_until_stopped(slow, baseline=1.0)
    windows = of_epochs // 2
    gain = slow[of_epochs - windows - 1] - slow[of_epochs - 1]
    assert gain == pytest.approx(0.01 * windows / 50, rel=0.02)
    # Where an epoch is a step or two, fifty of them are no long run.
    of_steps = epochs_until_stopped(slow, baseline=1.0, n_batches=1)
    windows = of_steps // 2
    gain = slow[of_steps - windows - 1] - slow[of_steps - 1]
    assert gain == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize("n_epochs", [8, 20])
def test_noise_is_a_part_of_what_the_loss_is_above_that_of_the_model_kept(n_epochs):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((5000, 60)), rng.integers(4, size=5000)
    y[X[:, 0] > 1] = 0
    before, clf = (
        SoftmaxClassifier(max_iter=n, tol=None, random_state=0).fit(X, y)
        for n in (n_epochs - 1, n_epochs)
    )
    states = before._checkpoint.state, clf._checkpoint.state
    n_batches = states[1].n_steps - states[0].n_steps
    noise = StepNoise(Rule("distance-over-gradients"), n_batches, states[0].norms)
    rise = noise.rise(states[1].norms, 1.0)
    excess = clf.loss_curve_[-1] - objective(clf, X, y)
    assert 0.25 * excess < rise < 0.75 * excess


def test_a_fit_does_not_go_on_for_its_noise():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((4000, 60)), rng.integers(4, size=4000)
    y[X[:, 0] > 1] = 0
    clf = SoftmaxClassifier(optimizer="sgd", random_state=0).fit(X, y)
    one = SoftmaxClassifier(max_iter=1, tol=None, warm_start=True, random_state=0)
    n_batches = clf.t_ // clf.n_iter_
    noise = StepNoise(Rule("distance-over-gradients"), n_batches, {})
    measured, seen = [], []
    for _ in range(clf.n_iter_):
        measured.append(one.fit(X, y).loss_curve_[-1])
        seen.append(measured[-1] - noise.rise(one._checkpoint.state.norms, 1.0))
    shares = np.bincount(y) / len(y)
    baseline = -(shares * np.log(shares)).sum()
    rule = {"tol": 3e-3, "baseline": baseline, "n_batches": n_batches}
    assert epochs_until_stopped(seen, **rule) == clf.n_iter_
    assert epochs_until_stopped(measured, **rule) is None


def test_epochs_do_not_copy_the_weights():
    class CopyingTrainer(ArrayTrainer):
        n_copies = 0

        def state(self):
            CopyingTrainer.n_copies += 1
            return super().state()

    class CopyingBackend(type(get_backend("numpy"))):
        def trainer(self, problem, state):
            return CopyingTrainer(problem, state)

    X, y = load_digits(return_X_y=True)
    clf = SoftmaxClassifier(optimizer="sgd", backend=CopyingBackend()).fit(X, y)
    assert CopyingTrainer.n_copies < 3 < clf.n_iter_


def test_what_is_known_to_be_left_may_be_a_share_of_a_small_objective():
    rule = Plateau(3e-3, 2, baseline=1.0, n_batches=32)
    assert rule.tolerance_at(0.5) == pytest.approx(3e-3)
    assert rule.bound_at(0.5) == pytest.approx(0.3 * 3e-3)
    assert rule.bound_at(0.01) == pytest.approx(0.03 * 0.01)
    assert rule.bound_at(0.95) == pytest.approx(0.3 * 3e-3 * 5 * 0.05)


def test_full_batches_and_given_steps_have_no_noise_to_know_of():
    X, y = load_digits(return_X_y=True)
    clf = SoftmaxClassifier(max_iter=1, tol=None, batch_size=len(X)).fit(X, y)
    norms = clf._checkpoint.state.norms
    assert StepNoise(Rule("distance-over-gradients", nearness=1.0), 1, norms).is_none
    clf = SoftmaxClassifier(max_iter=1, tol=None, learning_rate=0.1).fit(X, y)
    assert StepNoise(Rule("sgd"), clf.t_, clf._checkpoint.state.norms).is_none


@pytest.mark.parametrize(("n_rows", "n_features"), [(8000, 100), (4000, 30), (20_000, 40)])
def test_what_features_of_little_signal_say_is_learnt(n_rows, n_features):
    X, y = make_classification(
        n_rows, n_features, n_informative=10, flip_y=0.6, class_sep=0.4, n_classes=3,
        random_state=0,
    )  # fmt: skip
    clf = SoftmaxClassifier(optimizer="sgd", random_state=0).fit(X, y)
    best = objective(SoftmaxClassifier(random_state=0, tol=None, max_iter=60).fit(X, y), X, y)
    counts = np.bincount(y) / n_rows
    frequencies = -(counts * np.log(counts)).sum()
    assert objective(clf, X, y) - best < 0.004 * (frequencies - best)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize(
    ("n_rows", "n_features", "share"), [(1000, 10, 0.5), (20_000, 20, 0.3), (5000, 50, 0.02)]
)
def test_pure_noise_ends_by_itself(n_rows, n_features, share, early_stopping):
    # A warning that max_iter was reached would be an error.
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((n_rows, n_features)), rng.random(n_rows) < share
    parameters = {"early_stopping": early_stopping, "max_iter": 200, "random_state": 0}
    for optimizer in ("auto", "sgd"):
        SoftmaxClassifier(optimizer=optimizer, **parameters).fit(X, y)


def test_columns_of_heavy_tails_are_not_given_up_for_their_noise():
    rng = np.random.default_rng(3)
    X = rng.standard_cauchy((4000, 10))
    scores = np.arctan(X) @ rng.normal(0, 1, (10, 3))
    y = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    clf = SoftmaxClassifier(optimizer="sgd", random_state=0).fit(X, y)
    Z = StandardScaler().fit_transform(X)
    peer = LogisticRegression(C=1 / (clf.alpha_ * len(y)), max_iter=5000).fit(Z, y)
    assert clf.score(X, y) > peer.score(Z, y) - 0.005
