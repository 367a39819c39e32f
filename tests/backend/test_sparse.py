"""Sparse rows: the model that dense rows give, found without ever storing a zero.

The laws by which untouched features are caught up with are held to literal recurrences, the
trainers that use them to dense updates over long runs.
"""

import pickle
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_digits, load_iris, make_multilabel_classification
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from sksoftmax import SoftmaxClassifier, get_backend, list_backends
from sksoftmax.backend.array_trainer import ArrayTrainer
from sksoftmax.backend.optimizers import averaging_weight
from sksoftmax.backend.problem import Problem, Rule
from sksoftmax.backend.sparse.base import penalty_groups
from sksoftmax.backend.sparse.choice import lazy_trainer
from sksoftmax.backend.sparse.distance import DistanceTrainer
from sksoftmax.backend.sparse.distance_law import RunningLaw
from sksoftmax.backend.sparse.momentum import LinearTrainer, ShrinkingTrainer
from sksoftmax.backend.sparse.momentum_laws import LONGEST_RUN, LinearLaw, ShrinkingLaw
from sksoftmax.backend.state import State

BACKENDS = [b.name for b in list_backends() if b.available and b.name != "torch"]
DIGITS, DIGIT = load_digits(return_X_y=True)
ALPHA = 0.02
TO_THE_OPTIMUM = {
    "tol": 1e-13,
    "n_iter_no_change": 50,
    "max_iter": 100_000,
    "batch_size": 10**6,
}


def word_counts():
    X, Y = make_multilabel_classification(
        300, 40, n_classes=3, n_labels=1, length=15, allow_unlabeled=False, random_state=0
    )
    return X, Y.argmax(axis=1)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("parameters", [{}, {"fit_intercept": False}, {"l1_ratio": 0.5}])
def test_optimum_is_that_of_logistic_regression_on_scaled_rows(parameters, n_classes, backend):
    X, y = word_counts()
    y = np.minimum(y, n_classes - 1)
    X = sparse.csr_array(X)
    clf = SoftmaxClassifier(alpha=ALPHA, backend=backend, **TO_THE_OPTIMUM, **parameters)
    clf.fit(X, y)
    scaler = StandardScaler(with_mean=False).fit(X)
    peer = LogisticRegression(C=1 / (ALPHA * len(y)), tol=1e-10, max_iter=100_000, **parameters)
    if "l1_ratio" in parameters:
        peer.set_params(solver="saga", random_state=0)
        if parse_version(sklearn.__version__) < parse_version("1.8"):
            peer.set_params(penalty="elasticnet")
    peer.fit(scaler.transform(X), y)
    assert_allclose(clf.coef_ * scaler.scale_, peer.coef_, atol=1e-3)
    assert_array_equal(clf.coef_ == 0, peer.coef_ == 0)
    assert_allclose(clf.predict_proba(X), peer.predict_proba(scaler.transform(X)), atol=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
def test_dense_and_sparse_rows_have_one_optimum(weighted):
    X, y = word_counts()
    w = np.random.default_rng(0).integers(0, 4, len(y)) if weighted else None
    clf = SoftmaxClassifier(alpha=ALPHA, **TO_THE_OPTIMUM)
    dense = clf.fit(X, y, w)
    probabilities, mean, scale = dense.predict_proba(X), dense.mean_, dense.scale_
    clf.fit(sparse.csr_matrix(X), y, w)
    assert_allclose(clf.predict_proba(X), probabilities, atol=1e-5)
    assert_allclose(clf.mean_, mean, rtol=1e-12)
    assert_allclose(clf.scale_, scale, rtol=1e-12)


def scrambled(X):
    """The same rows with unsorted indices, and each first element in two halves."""
    X = sparse.csr_array(X)
    data, indices, indptr = [], [], [0]
    for row in range(X.shape[0]):
        part = slice(X.indptr[row], X.indptr[row + 1])
        values, columns = X.data[part][::-1], X.indices[part][::-1]
        data.append(np.append(values[:1] / 2, [*values[1:], *(values[:1] / 2)]))
        indices.append(np.append(columns[:1], [*columns[1:], *columns[:1]]))
        indptr.append(indptr[-1] + len(data[-1]))
    return sparse.csr_array(
        (np.concatenate(data), np.concatenate(indices), indptr), shape=X.shape
    )


def with_64_bit_indices(X):
    X = sparse.csr_array(X)
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


@pytest.mark.parametrize(
    "convert",
    [
        sparse.csr_matrix,
        sparse.csc_array,
        sparse.csc_matrix,
        sparse.coo_array,
        sparse.lil_matrix,
        with_64_bit_indices,
        scrambled,
    ],
)
def test_every_format_gives_the_same_bits(convert):
    clf = SoftmaxClassifier(max_iter=3, tol=None, batch_size=64, random_state=0)
    expected = clf.fit(sparse.csr_array(DIGITS), DIGIT).coef_
    X = convert(DIGITS)
    before = X.copy()
    assert_array_equal(clf.fit(X, DIGIT).coef_, expected)
    assert abs(before - X).sum() == 0
    if hasattr(X, "indices"):
        assert_array_equal(X.indices, before.indices)
        assert X.indices.dtype == before.indices.dtype
    assert_allclose(clf.decision_function(X), clf.decision_function(DIGITS), atol=1e-12)
    assert_array_equal(clf.predict(X), clf.predict(DIGITS))


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.uint8, bool])
def test_other_dtypes_are_converted_batch_by_batch(dtype):
    X = sparse.csr_array(DIGITS > 8).astype(dtype)
    clf = SoftmaxClassifier(max_iter=5, tol=None, random_state=0).fit(X, DIGIT)
    expected = np.float32 if dtype in (np.float32, np.uint8) else np.float64
    assert clf.coef_.dtype == expected
    assert clf.predict_proba(X).dtype == expected
    assert clf.score(X, DIGIT) > 0.8


def test_nothing_is_densified():
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(5000, size=100_000), rng.integers(200_000, size=100_000)
    values = rng.random(100_000, dtype=np.float32)
    X = sparse.csr_array((values, (rows, columns)), shape=(5000, 200_000))
    y = rng.integers(3, size=5000)
    clf = SoftmaxClassifier(max_iter=2, tol=None)
    clf.fit(X[:500], y[:500])  # kernels are compiled
    tracemalloc.start()
    clf.fit(X, y).predict_proba(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    dense = X.shape[0] * X.shape[1] * 4
    model = X.shape[1] * 3 * 4
    assert peak < 25 * model < dense / 50


def test_training_on_is_bit_for_bit_the_uninterrupted_one():
    X = sparse.csr_array(DIGITS)
    for parameters in ({}, {"momentum": 0, "l1_ratio": 0.5, "alpha": 0.01}):
        clf = SoftmaxClassifier(
            batch_size=32, tol=None, max_iter=3, warm_start=True, random_state=0, **parameters
        )
        resumed = pickle.loads(pickle.dumps(clf.fit(X, DIGIT))).fit(X, DIGIT)
        whole = SoftmaxClassifier(
            batch_size=32, tol=None, max_iter=6, random_state=0, **parameters
        ).fit(X, DIGIT)
        assert_array_equal(resumed.coef_, whole.coef_)
        assert resumed.loss_curve_ == whole.loss_curve_


def test_stream_of_sparse_chunks_learns():
    X = sparse.csr_array(DIGITS)
    streams = SoftmaxClassifier(random_state=0), SoftmaxClassifier(random_state=0)
    for _ in range(5):
        for start in range(0, 1500, 100):
            rows = slice(start, start + 100)
            for clf, chunk in zip(streams, (X[rows], DIGITS[rows]), strict=True):
                clf.partial_fit(chunk, DIGIT[rows], classes=np.arange(10))
    scores = [clf.score(DIGITS[1500:], DIGIT[1500:]) for clf in streams]
    assert scores[0] > scores[1] - 0.02  # a standard error of either
    once = SoftmaxClassifier(random_state=0).partial_fit(X, DIGIT, classes=np.arange(10))
    whole = SoftmaxClassifier(random_state=0, max_iter=1, tol=None).fit(X, DIGIT)
    assert_array_equal(once.coef_, whole.coef_)


def test_sparsify_and_densify():
    clf = SoftmaxClassifier(alpha=0.05, l1_ratio=1, random_state=0).fit(DIGITS, DIGIT)
    coef, scores = clf.coef_, clf.decision_function(DIGITS)
    assert sparse.issparse(clf.sparsify().coef_)
    assert clf.coef_.nnz == np.count_nonzero(coef) < coef.size
    for X in (DIGITS, sparse.csr_array(DIGITS), DIGITS.astype(np.float32)):
        assert_allclose(clf.decision_function(X), scores, rtol=1e-5)
    clf = pickle.loads(pickle.dumps(clf))
    assert_array_equal(clf.densify().coef_, coef)
    assert_array_equal(clf.densify().coef_, coef)
    assert clf.sparsify().partial_fit(DIGITS, DIGIT).coef_.shape == coef.shape


def many_steps(trainer, X, **changes):
    """States and objectives of epochs of 400 small steps, from a state that is not zero."""
    rng = np.random.default_rng(1)
    n_rows, n_features = X.shape
    problem = Problem(
        X=X, y=rng.integers(3, size=n_rows).astype(np.int32), weights=None, n_classes=3,
        dtype=np.dtype(float), batch_size=2, l2=np.full(1, 0.3), l1=np.zeros(1),
        penalty_share=1.0, average=True, fit_intercept=True,
        means=None, scales=rng.uniform(0.5, 1, n_features),
        step_scales=rng.choice([1.0, 1.5, 2.0, np.inf], n_features),
        rule=Rule(momentum=np.full(1, 0.9)),
    )  # fmt: skip
    problem = Problem(**{**vars(problem), **changes})
    start = rng.standard_normal((1, 3, n_features + 1))
    memory = {"velocity": rng.standard_normal(start.shape) / 100}
    state = State(start, start / 2, memory, np.zeros(n_features), 5)
    running = trainer(problem, state)
    for _ in range(3):
        order = rng.permutation(n_rows)
        objective = running.run_epoch(order, rng.uniform(1e-4, 2e-3, (1, n_rows // 2)))
        yield objective, running.state()


@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"rule": Rule(momentum=np.full(1, 0.3))},
        {"rule": Rule(momentum=np.zeros(1))},
        {"l2": np.full(1, 300.0)},
        {"l2": np.zeros(1)},
        {"l1": np.full(1, 0.05), "rule": Rule(momentum=np.zeros(1))},
        {"l1": np.full(1, 0.5), "l2": np.zeros(1), "rule": Rule(momentum=np.zeros(1))},
        {"l1": np.full(1, 0.05), "l2": np.full(1, 300.0), "rule": Rule(momentum=np.zeros(1))},
    ],
)
def test_lazy_updates_are_the_dense_ones_over_long_runs(parameters, average):
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((800, 12)) * (rng.random((800, 12)) < 0.02)
    X = sparse.csr_array(dense)
    lazy = ShrinkingTrainer if "l1" in parameters else LinearTrainer
    pairs = zip(
        many_steps(lazy, X, average=average, **parameters),
        many_steps(ArrayTrainer, dense, average=average, **parameters),
        strict=True,
    )
    for (objective, state), (expected, exact) in pairs:
        assert_allclose(objective, expected, rtol=1e-11)
        assert_allclose(state.parameters, exact.parameters, rtol=1e-9, atol=1e-11)
        assert_allclose(state.average, exact.average, rtol=1e-9, atol=1e-11)
        assert_array_equal(state.parameters == 0, exact.parameters == 0)
        for name, moment in exact.memory.items():
            assert_allclose(state.memory[name], moment, rtol=1e-9, atol=1e-11)


@settings(max_examples=60, deadline=None)
@given(
    momentum=st.sampled_from([0.0, 0.05, 0.5, 0.9, 0.99]),
    decay=st.floats(0, 2),
    largest=st.floats(1e-3, 1),
    seed=st.integers(0, 10**6),
)
def test_linear_law_is_the_recurrence(momentum, decay, largest, seed):
    rng = np.random.default_rng(seed)
    steps = rng.uniform(largest / 2, largest, 100)
    changes = rng.standard_normal(100) * (rng.random(100) < 0.2)
    law = LinearLaw.tabulate(steps, np.array([decay]), momentum, n_done=3)
    weight, velocity, average = state = rng.standard_normal(3)
    if not momentum:
        state, velocity = state[[0, 2]], 0.0
    constant = law.start[0] @ state
    for t in range(law.n_steps):
        n_modes = law.read.shape[2]
        size = max(abs(weight), abs(velocity), 1)
        assert abs(law.read[t, 0] @ constant[:n_modes] - weight) < 1e-9 * size
        velocity = momentum * velocity - steps[t] * decay * weight + changes[t]
        weight += velocity
        average += averaging_weight(4 + t) * (weight - average)
        constant = constant + law.write[t, 0] * changes[t]
    expected = [weight, velocity, average] if momentum else [weight, average]
    size = max(1, np.abs(expected).max())
    assert_allclose(law.finish[0] @ constant, expected, atol=1e-9 * size)


def test_long_runs_are_cut_before_they_leave_the_range():
    steps = np.full(10_000, 0.1)
    law = LinearLaw.tabulate(steps, np.array([0.0, 1e-3]), 0.5, n_done=None)
    assert 40 < law.n_steps < 60  # 0.5 to the 50th is 1e-15
    assert np.isfinite(law.write).all()
    stopped = LinearLaw.tabulate(steps, np.array([10.0]), 0.0, n_done=None)  # 1 - 0.1 * 10 = 0
    assert stopped.n_steps == 1
    assert np.isfinite(stopped.write).all()
    shrinking = ShrinkingLaw.tabulate(steps, np.array([0.5]), np.array([1.0]), n_done=0)
    assert shrinking.n_steps == LONGEST_RUN  # 0.95 to the 512th is still in range


def test_features_of_one_ratio_are_a_group():
    scales = np.array([2.0, 3.0, 4.0, 5.0, 7.0])
    step_scales = scales * [1, 1, 2, 1 + 1e-15, np.inf]
    problem = own_steps(np.eye(5), scales=scales, step_scales=step_scales)
    group, ratio = penalty_groups(problem)
    assert_allclose(ratio[group], [1, 1, 0.5, 1, 0])
    assert len(ratio) == 3
    group, ratio = penalty_groups(problem, np.array([3, 0]))
    assert_allclose(ratio[group], [1, 1])
    assert len(ratio) == 1


def test_dense_updates_where_no_law_is_known():
    X, y = sparse.csr_array(DIGITS), DIGIT
    backend = get_backend("numpy")
    seen = []

    def noted(problem, state):
        seen.append(lazy_trainer(problem))
        return ArrayTrainer(problem, state)

    backend.trainer = noted
    given = {"learning_rate": 0.01}
    for parameters in (
        {},
        {"l1_ratio": 0.5},
        given,
        {**given, "l1_ratio": 0.5, "momentum": 0},
        {**given, "l1_ratio": 0.5},
        {**given, "nesterov": True},
        {**given, "optimizer": "adam"},
    ):
        SoftmaxClassifier(backend=backend, max_iter=1, tol=None, **parameters).fit(X, y)
    assert seen == [DistanceTrainer, None, LinearTrainer, ShrinkingTrainer, None, None, None]


def test_a_feature_that_becomes_constant_keeps_its_weight():
    X, y = load_iris(return_X_y=True)
    clf = SoftmaxClassifier(max_iter=5, tol=None, warm_start=True).fit(sparse.csr_array(X), y)
    before = clf.coef_[:, 0].copy()
    X[:, 0] = 1
    clf.set_params(momentum=0, average=False).fit(sparse.csr_array(X), y)
    assert_allclose(clf._checkpoint.state.parameters[0, :, 0], clf.coef_[:, 0])
    assert np.abs(clf.coef_[:, 0] - before).max() < np.abs(before).max()


def own_steps(dense, dtype="float64", **changes):
    """A problem of the rule that finds its own steps, over centred CSR rows."""
    rng = np.random.default_rng(2)
    n_features = dense.shape[1]
    deviation = dense.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1)
    step_scale = np.where(
        deviation > 0, scale * 2 ** (rng.integers(0, 6, n_features) / 4), np.inf
    )
    scores = (dense - dense.mean(axis=0)) / scale @ rng.standard_normal((n_features, 3))
    problem = Problem(
        X=sparse.csr_array(dense.astype(dtype)),
        y=(scores + rng.gumbel(size=scores.shape)).argmax(axis=1).astype(np.int32),
        weights=None, n_classes=3, dtype=np.dtype(dtype), batch_size=4, l2=np.full(1, 0.01),
        l1=np.zeros(1), penalty_share=1.0, average=True,
        fit_intercept=True, means=dense.mean(axis=0), scales=scale,
        step_scales=step_scale, intercept_scale=0.6, curvature=np.full(1, 2.0),
        rule=Rule("distance-over-gradients"),
    )  # fmt: skip
    return replace(problem, **changes)


def own_steps_match_dense_ones(make, problem, start, tolerance, n_epochs=3):
    """Run both in two segments an epoch, and compare all that comes back."""
    exact = replace(problem, X=problem.X.toarray().astype(float), dtype=np.dtype(float))
    lazy, reference = make(problem, start), ArrayTrainer(exact, start)
    rng = np.random.default_rng(3)
    n_rows = problem.X.shape[0]
    half = n_rows // 2 // problem.batch_size * problem.batch_size
    scale = np.append(np.where(np.isfinite(problem.step_scales), problem.step_scales, 1), 1)
    for _ in range(n_epochs):
        order = rng.permutation(n_rows)
        for part in (order[:half], order[half:]):
            factors = rng.uniform(0.5, 1, (1, -(-len(part) // problem.batch_size)))
            loss, expected = (t.run_epoch(part, factors) for t in (lazy, reference))
            assert_allclose(loss, expected, rtol=tolerance)
            assert_allclose(lazy.penalty(), reference.penalty(), rtol=10 * tolerance)
            state, exact_state = lazy.state(), reference.state()
            for name in ("parameters", "average"):
                got, wanted = (getattr(s, name) * scale for s in (state, exact_state))
                assert_allclose(got, wanted, atol=tolerance * np.abs(wanted).max(), rtol=0)
            for name, norm in exact_state.norms.items():
                assert_allclose(state.norms[name], norm, rtol=tolerance)
    return lazy


def host_trainers():
    names = [name for name in BACKENDS if name in ("numpy", "numba")]
    return [DistanceTrainer, *(get_backend(name).distance_trainer for name in names)]


@pytest.mark.parametrize("make", host_trainers())
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"l2": np.zeros(1)},
        {"l2": np.full(1, 3.0)},
        {"l2": np.full(1, 300.0), "batch_size": 16},
        {"fit_intercept": False, "means": None},
        {"fit_intercept": False},
    ],
)
@pytest.mark.parametrize("is_new", [True, False])
def test_own_steps_are_the_dense_ones(make, changes, is_new):
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((600, 20)) * (
        rng.random((600, 20)) < np.geomspace(0.01, 0.9, 20)
    )
    dense[:, 5], dense[:, 6] = 0, 7
    problem = own_steps(dense, **changes)
    start = State.zeros(1, 3, 20, problem.dtype)
    if not is_new:
        parameters = rng.standard_normal((1, 3, 21))
        average = parameters + rng.standard_normal((1, 3, 21)) / 4
        start = replace(start, parameters=parameters, average=average)
    own_steps_match_dense_ones(make, problem, start, 1e-10)


@pytest.mark.parametrize("make", host_trainers())
@pytest.mark.parametrize("share", [1, 0.99])
@pytest.mark.parametrize("deviations", [1, 10, 100, 1000])
def test_columns_far_from_zero_are_centred_without_loss(make, deviations, share):
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((600, 12)) * (rng.random((600, 12)) < 0.1)
    far = rng.standard_normal((600, 2)) + np.array([deviations, -deviations])
    dense[:, :2] = np.float32(far * [1, 50] * (rng.random((600, 2)) < share))
    for dtype, tolerance in (("float64", 1e-10), ("float32", 1e-4)):
        problem = own_steps(dense, dtype)
        start = State.zeros(1, 3, 12, problem.dtype)
        own_steps_match_dense_ones(make, problem, start, tolerance)


def test_products_are_folded_within_an_epoch():
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((600, 12)) * (rng.random((600, 12)) < 0.1)
    problem = own_steps(dense, l2=np.full(1, 30.0))
    folds = []

    class Counted(DistanceTrainer):
        def _add_up(self):
            folds.append(self._n_steps)
            super()._add_up()

    own_steps_match_dense_ones(Counted, problem, State.zeros(1, 3, 12, problem.dtype), 1e-10)
    assert len(folds) > 6 + 5  # a segment begins with one, and so does the trainer


def test_own_steps_touch_the_features_of_their_batch_alone():
    touched, n_slots = [], []

    class Counted(DistanceTrainer):
        def _write_gradient(self, slots, *arguments):
            touched.append(len(slots))
            super()._write_gradient(slots, *arguments)

    for n_features in (100, 10_000):
        rng = np.random.default_rng(0)
        dense = rng.random((400, n_features))
        dense[rng.random((400, n_features)) > 5 / n_features] = 0
        trainer = Counted(own_steps(dense), State.zeros(1, 3, n_features, np.dtype(float)))
        trainer.run_epoch(np.arange(400), np.ones((1, 100)))
        n_slots.append(len(trainer._features))
    assert max(touched) <= 40  # four rows of about five
    assert n_slots[1] <= 2000  # features that no row holds have no slot at all


def test_means_of_earlier_rows_move_features_that_no_row_holds():
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((60, 8)) * (rng.random((60, 8)) < 0.3)
    problem = own_steps(dense)
    dense[:, 3] = 0
    problem = replace(problem, X=sparse.csr_array(dense), means=problem.means + 0.1)
    start = State.zeros(1, 3, 8, problem.dtype)
    trainer = own_steps_match_dense_ones(DistanceTrainer, problem, start, 1e-10)
    assert trainer.state().parameters[0, :, 3].any()


@pytest.mark.parametrize("make", host_trainers())
def test_own_steps_resume_bit_for_bit(make):
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((200, 10)) * (rng.random((200, 10)) < 0.3)
    problem = own_steps(dense, "float32")
    order, factors = rng.permutation(200), np.ones((1, 50))
    whole = make(problem, State.zeros(1, 3, 10, problem.dtype))
    whole.run_epoch(order, factors)
    resumed = make(problem, whole.state())
    assert_array_equal(resumed.run_epoch(order, factors), whole.run_epoch(order, factors))
    for name in ("parameters", "average"):
        assert_array_equal(getattr(resumed.state(), name), getattr(whole.state(), name))
    for name, norm in whole.state().norms.items():
        assert_array_equal(resumed.state().norms[name], norm)


@settings(max_examples=60, deadline=None)
@given(decay=st.floats(0, 4), largest=st.floats(1e-3, 1), seed=st.integers(0, 10**6))
def test_running_law_is_the_recurrence(decay, largest, seed):
    rng = np.random.default_rng(seed)
    law = RunningLaw(np.array([decay]), np.ones(1, bool), 1, 0.8)
    law.restart()
    z, a = rng.standard_normal(2)
    w = np.array([z, a - z])
    law.squares[0] = np.outer(w, w)
    for step, newest in zip(rng.uniform(0, largest, 60), rng.uniform(0, 1, 60), strict=True):
        y, g = 0.2 * z + 0.8 * a, rng.standard_normal() * (rng.random() < 0.3)
        size = max(abs(z), abs(a), 1)
        assert abs(law.point()[0] @ w - y) < 1e-10 * size
        along, lengths = w[None] * g, np.array([g * g])
        squared = law.squared_gradient(law.point(), along, lengths)
        assert abs(squared - (g + decay * y) ** 2) < 1e-9 * max(1, squared)
        z = z - step * (decay * y + g)
        a = a + newest * (z - a)
        if not law.advance(step, newest):
            w = law.product[0] @ w
            law.restart()
            law.squares[0] = np.outer(w, w)
            along = w[None] * g
        write = law.writing()
        law.add(write, along, lengths, np.zeros((1, 1)), np.zeros(1))
        w = w + write[0] * g
        size = max(abs(z), abs(a), 1)
        assert_allclose(law.product[0] @ w, [z, a - z], atol=1e-10 * size)
        assert abs(law.squared_average() - a * a) < 1e-9 * size**2


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_derivatives_over_blocks_of_rows_are_those_of_dense_ones(n_classes, dtype):
    X, y = word_counts()
    X, y = X.astype(dtype), np.minimum(y, n_classes - 1).astype(np.int32)
    n_rows, n_features = X.shape
    ones = np.ones(n_features)
    problem = Problem(
        X=X, y=y, weights=None, n_classes=n_classes, dtype=np.dtype(float), batch_size=n_rows,
        l2=np.zeros(1), l1=np.zeros(1), penalty_share=1, average=False, fit_intercept=True,
        means=X.mean(axis=0), scales=ones, step_scales=ones,
    )  # fmt: skip
    start = State.zeros(1, n_classes, n_features, problem.dtype)
    dense = ArrayTrainer(problem, start)
    trainer = ArrayTrainer(replace(problem, X=sparse.csr_array(X)), start)
    trainer.elements_at_once = 1  # as many scores as weights: three or more blocks
    parameters = np.random.default_rng(0).standard_normal(start.parameters.shape) / 9
    rows = trainer.problem.X[5:]
    for w in (None, np.arange(n_rows - 5.0)):
        found = trainer.loss_gradient(parameters, rows, y[5:], w)
        for ours, theirs in zip(
            found, dense.loss_gradient(parameters, X[5:], y[5:], w), strict=True
        ):
            assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(
        trainer.evaluate(rows, y[5:], None), dense.evaluate(X[5:], y[5:], None), strict=True
    ):
        assert_allclose(ours, theirs, rtol=1e-12)
