"""Stopping on validation rows: which rows they are, when a fit stops, and what it keeps.

Most fits here overfit noise, so that the best epoch is neither the first nor the last.
"""

import math
import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sksoftmax import SoftmaxClassifier, list_backends
from sksoftmax.data.holdout import hold_out
from sksoftmax.data.targets import encode_targets

BACKENDS = [info.name for info in list_backends() if info.available]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 60))
Y = (2 * X[:, :3] + RNG.normal(size=(300, 3))).argmax(axis=1)
WEIGHTS = RNG.exponential(size=300)
X_VAL, Y_VAL = X[200:], Y[200:]
TRAIN = slice(0, 200)
CURVES = ("loss_curve_", "validation_loss_curve_", "validation_scores_")


def estimator(**parameters):
    defaults = {"alpha": 0.0, "batch_size": 64, "learning_rate": 0.02, "max_iter": 30}
    defaults |= {"early_stopping": True, "tol": None, "random_state": 0}
    return SoftmaxClassifier(**{**defaults, **parameters})


def epochs_until_a_plateau(clf, curve, n_rows):
    """Where the last half of the epochs, or 20 steps, no longer gain `tol`."""
    n_batches = math.ceil(n_rows / clf.batch_size)
    least = max(clf.n_iter_no_change, math.ceil(20 / n_batches))
    frequencies = np.bincount(Y[:n_rows]) / n_rows  # as good as those of the training rows
    tol = clf.tol * -(frequencies * np.log(frequencies)).sum()
    for n in range(1, len(curve) + 1):
        window = max(least, n // 2)
        if n > window and min(curve[: n - window]) - min(curve[:n]) <= tol:
            return n
    return None


def assert_same_fit(one, other):
    names = [name for name in vars(one) if name.endswith("_") and not name.startswith("_")]
    assert {"coef_", "best_iter_", "n_iter_", "t_", *CURVES} <= set(names)
    for name in names:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"optimizer": "adam"},
        {"average": False},
        {"schedule": "invscaling", "learning_rate": 0.1},
    ],
    ids=lambda parameters: next(iter(parameters), "default"),
)
def test_the_best_epoch_is_kept_bit_for_bit(backend, parameters):
    clf = estimator(backend=backend, **parameters).fit(X, Y)
    best = clf.best_iter_
    assert 1 < best < clf.n_iter_ == len(clf.loss_curve_) == 30
    assert clf.best_loss_ == min(clf.validation_loss_curve_)
    assert clf.validation_loss_curve_.index(clf.best_loss_) == best - 1
    short = estimator(backend=backend, max_iter=best, **parameters).fit(X, Y)
    for name in ("coef_", "intercept_", "t_", "best_loss_", "best_iter_"):
        np.testing.assert_array_equal(getattr(clf, name), getattr(short, name), err_msg=name)
    for name in CURVES:
        assert getattr(clf, name)[:best] == getattr(short, name)
    # Training on from either is the same: the optimiser's memory went back as well.
    assert_same_fit(clf.partial_fit(X, Y), short.partial_fit(X, Y))


@pytest.mark.parametrize("weights", [None, WEIGHTS[200:]], ids=["equal", "weighted"])
def test_loss_and_accuracy_are_those_of_the_predictions(weights):
    clf = estimator().fit(
        X[TRAIN], Y[TRAIN], X_val=X_VAL, y_val=Y_VAL, sample_weight_val=weights
    )
    loss = log_loss(Y_VAL, clf.predict_proba(X_VAL), sample_weight=weights)
    assert clf.best_loss_ == pytest.approx(loss, rel=1e-10)
    score = accuracy_score(Y_VAL, clf.predict(X_VAL), sample_weight=weights)
    assert clf.validation_scores_[clf.best_iter_ - 1] == pytest.approx(score, rel=1e-10)


def test_class_weights_count_in_the_validation_loss():
    class_weight = {0: 1.0, 1: 5.0, 2: 0.5}
    clf = estimator(class_weight=class_weight)
    clf.fit(X[TRAIN], Y[TRAIN], X_val=X_VAL, y_val=Y_VAL)
    weights = [class_weight[label] for label in Y_VAL]
    loss = log_loss(Y_VAL, clf.predict_proba(X_VAL), sample_weight=weights)
    assert clf.best_loss_ == pytest.approx(loss, rel=1e-10)


@pytest.mark.parametrize("tol", [0.0, 3e-3, 0.05])
def test_stops_where_the_validation_loss_no_longer_improves_by_tol(tol):
    clf = estimator(tol=tol, max_iter=1000).fit(X, Y)
    curve = np.array(clf.validation_loss_curve_)
    assert clf.n_iter_ == epochs_until_a_plateau(clf, curve, 270)
    assert clf.best_iter_ == 1 + curve.argmin()


def test_warns_at_max_iter_and_keeps_the_best_all_the_same():
    with pytest.warns(ConvergenceWarning, match=r"max_iter=30\) reached"):
        clf = estimator(tol=1e-4, learning_rate=1e-3).fit(X, Y)
    assert clf.n_iter_ == 30
    assert_same_fit(clf, estimator(learning_rate=1e-3).fit(X, Y))


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_planned_schedules_run_all_epochs_and_keep_the_best(schedule):
    clf = estimator(schedule=schedule, tol=10.0, max_iter=60)
    clf.fit(X[TRAIN], Y[TRAIN], X_val=X_VAL, y_val=Y_VAL)
    assert clf.best_iter_ < clf.n_iter_ == 60
    loss = log_loss(Y_VAL, clf.predict_proba(X_VAL))
    assert min(clf.validation_loss_curve_) == pytest.approx(loss, rel=1e-10)


def test_adaptive_divides_the_step_five_times_on_validation_plateaus():
    # An improvement of 10 is out of reach after the first epoch, whatever the training loss.
    constant = estimator(tol=10.0, max_iter=1000).fit(X, Y)
    adaptive = estimator(tol=10.0, max_iter=1000, schedule="adaptive").fit(X, Y)
    wait = math.ceil(20 / math.ceil(270 / 64))
    assert constant.n_iter_ == 1 + wait
    assert adaptive.n_iter_ == 6 * (1 + wait)
    changes = np.abs(np.diff(adaptive.validation_loss_curve_))
    assert changes[-wait:].max() < changes[:wait].max() / 100


@given(
    counts=st.lists(st.integers(1, 30), min_size=2, max_size=6),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 9),
)
def test_split_is_stratified_and_bounded(counts, fraction, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    counts = np.array(counts)
    targets = encode_targets(labels, None, labels[:, None])
    training, held_out = hold_out(targets, fraction, seed)
    if held_out is None:
        assert counts.max() == 1
        assert training is targets
        return
    rows = np.concatenate([training.rows, held_out.rows])
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(labels)))
    of_class = np.bincount(labels[held_out.rows], minlength=len(counts))
    assert (of_class[counts > 1] >= 1).all()
    assert (of_class < counts).all()
    wanted = max(math.ceil(fraction * len(labels)), len(counts))
    assert of_class.sum() == min(wanted, (counts - 1).sum())


def test_split_is_proportional_and_random():
    counts = np.array([1000, 500, 90, 10])
    labels = np.repeat(np.arange(4), counts)
    targets = encode_targets(labels, None, labels[:, None])
    splits = [hold_out(targets, 0.1, seed)[1].rows for seed in (0, 0, 1)]
    for rows in splits:
        np.testing.assert_array_equal(np.bincount(labels[rows]), counts / 10)
    np.testing.assert_array_equal(splits[0], splits[1])
    assert len(np.intersect1d(splits[0], splits[2])) < 40


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 3.0, 1: 1.0, 2: 0.2}])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_held_out_are_as_good_as_absent(backend, weights, class_weight):
    # The split that a fit makes, made beforehand and handed over as validation data.
    parameters = {"backend": backend, "class_weight": class_weight, "validation_fraction": 0.3}
    parameters |= {"learning_rate": "auto", "max_iter": 5}
    clf = estimator(**parameters).fit(X, Y, weights)
    targets = encode_targets(Y, weights, X)
    split = hold_out(targets, 0.3, clf._checkpoint.seed)
    (X_train, y_train, w_train), (X_val, y_val, w_val) = (
        (X[part.rows], Y[part.rows], None if weights is None else weights[part.rows])
        for part in split
    )
    other = estimator(**parameters).fit(
        X_train, y_train, w_train, X_val=X_val, y_val=y_val, sample_weight_val=w_val
    )
    assert clf.n_samples_seen_ == other.n_samples_seen_ == 210
    assert clf.best_iter_ == other.best_iter_
    for name in ("coef_", "intercept_", "mean_", "scale_", "step_size_", *CURVES):
        one, two = getattr(clf, name), getattr(other, name)
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("blocks", ["one block", "many blocks"])
def test_rows_of_zero_weight_have_no_influence(blocks, monkeypatch):
    if blocks == "many blocks":
        monkeypatch.setattr("sksoftmax.training.passes.EVALUATION_ELEMENTS", 7 * X.shape[1])
    junk = np.full((50, 60), 1e6)
    rows, labels = np.concatenate([X, junk]), np.concatenate([Y, np.full(50, 9)])
    weights = np.concatenate([WEIGHTS, np.zeros(50)])
    shuffled = np.random.default_rng(1).permutation(350)
    kept = shuffled[shuffled < 300]
    plain = estimator().fit(X[kept], Y[kept], WEIGHTS[kept])
    padded = estimator().fit(rows[shuffled], labels[shuffled], weights[shuffled])
    np.testing.assert_allclose(padded.coef_, plain.coef_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        padded.validation_loss_curve_, plain.validation_loss_curve_, rtol=1e-9
    )
    given = estimator().fit(
        X, Y, X_val=rows[shuffled], y_val=labels[shuffled], sample_weight_val=weights[shuffled]
    )
    without = estimator().fit(
        X, Y, X_val=X[kept], y_val=Y[kept], sample_weight_val=WEIGHTS[kept]
    )
    np.testing.assert_array_equal(given.coef_, without.coef_)
    np.testing.assert_allclose(
        given.validation_loss_curve_, without.validation_loss_curve_, rtol=1e-9
    )


def test_a_class_of_one_row_stays_in_training():
    y = Y.copy()
    y[17] = 7
    clf = estimator().fit(X, y)
    assert clf.classes_.tolist() == [0, 1, 2, 7]
    assert clf.n_samples_seen_ == 270
    assert clf.predict(X[[17]]).tolist() == [7]


def test_warns_and_stops_on_the_training_loss_where_nothing_can_be_held_out():
    rows, y = X[:2], np.array(["a", "b"])
    with pytest.warns(UserWarning, match="can hold out no row.*Pass X_val and y_val") as found:
        clf = estimator(tol=1e-3, max_iter=2000).fit(rows, y)
    assert found[0].filename == __file__
    plain = estimator(tol=1e-3, max_iter=2000, early_stopping=False).fit(rows, y)
    assert_same_fit(clf, plain)
    assert clf.best_iter_ is clf.best_loss_ is None
    assert clf.validation_loss_curve_ is clf.validation_scores_ is None


def test_warm_start_goes_on_from_the_best_epoch():
    clf = estimator(warm_start=True, learning_rate=0.2).fit(X, Y)
    first_best, first_loss = clf.best_iter_, clf.best_loss_
    assert 1 < first_best < 30
    short = estimator(warm_start=True, learning_rate=0.2, max_iter=first_best).fit(X, Y)
    clf = pickle.loads(pickle.dumps(clf))
    # Shorter steps and a penalty on the noise lead lower than the first fit came.
    for model in (clf, short):
        model.set_params(alpha=0.1, learning_rate=0.01, max_iter=60).fit(X, Y)
    assert_same_fit(clf, short)
    assert clf.n_iter_ == first_best + 60
    assert clf.best_iter_ > first_best
    assert clf.best_loss_ < first_loss


def test_warm_start_keeps_its_start_where_nothing_is_better():
    clf = estimator(warm_start=True).fit(X, Y)
    coef, best = clf.coef_, clf.best_iter_
    clf.set_params(max_iter=4).fit(X, Y)
    assert clf.n_iter_ == best + 4
    assert clf.best_iter_ == best
    assert clf.best_loss_ == min(clf.validation_loss_curve_)
    np.testing.assert_array_equal(clf.coef_, coef)


def test_pausing_changes_nothing_while_the_loss_decreases():
    digits, labels = load_digits(return_X_y=True)
    whole = estimator(max_iter=2, learning_rate="auto").fit(digits, labels)
    assert whole.best_iter_ == 2
    clf = estimator(max_iter=1, learning_rate="auto", warm_start=True).fit(digits, labels)
    clf = pickle.loads(pickle.dumps(clf)).fit(digits, labels)
    assert_same_fit(whole, clf)


def test_partial_fit_notes_the_validation_loss_and_leaves_stopping_to_the_caller():
    clf = estimator(early_stopping=False)
    losses, scores = [], []
    for start in range(0, 200, 40):
        chunk = slice(start, start + 40)
        validation = {} if start == 80 else {"X_val": X_VAL, "y_val": Y_VAL}
        clf.partial_fit(X[chunk], Y[chunk], classes=[0, 1, 2], **validation)
        losses.append(log_loss(Y_VAL, clf.predict_proba(X_VAL)) if validation else np.nan)
        scores.append(clf.score(X_VAL, Y_VAL) if validation else np.nan)
    np.testing.assert_allclose(clf.validation_loss_curve_, losses, rtol=1e-10)
    np.testing.assert_allclose(clf.validation_scores_, scores, rtol=1e-10)
    assert clf.best_iter_ == 1 + np.nanargmin(losses)
    assert clf.best_loss_ == clf.validation_loss_curve_[clf.best_iter_ - 1]
    assert clf.n_iter_ == 5


def test_partial_fit_without_validation_data_ignores_early_stopping():
    with_it, without = estimator(), estimator(early_stopping=False)
    for clf in (with_it, without):
        clf.partial_fit(X, Y, classes=[0, 1, 2])
    assert_same_fit(with_it, without)
    assert with_it.best_iter_ is None
    assert with_it.n_samples_seen_ == 300


def test_one_chunk_with_validation_data_is_one_epoch():
    validation = {"X_val": X_VAL, "y_val": Y_VAL}
    fitted = estimator(max_iter=1).fit(X[TRAIN], Y[TRAIN], **validation)
    chunk = estimator().partial_fit(X[TRAIN], Y[TRAIN], classes=[0, 1, 2], **validation)
    assert_same_fit(fitted, chunk)


def test_names_of_validation_features_are_checked():
    frame = load_iris(as_frame=True)
    rows, y = frame.data, frame.target
    clf = estimator().fit(rows, y, X_val=rows[::2], y_val=y[::2])
    assert clf.best_iter_ is not None
    renamed = rows.rename(columns={rows.columns[0]: "height"})
    for call in (clf.fit, clf.partial_fit):
        with pytest.raises(ValueError, match="feature names should match"):
            call(rows, y, X_val=renamed, y_val=y)


def test_validation_data_pass_through_a_pipeline():
    frame = pd.DataFrame(X * 100 + 7, columns=[f"x{i}" for i in range(60)])
    train, val = frame[:200], frame[200:]
    weights = WEIGHTS[200:]
    with sklearn.config_context(enable_metadata_routing=True):
        clf = estimator(standardize=False).set_fit_request(
            X_val=True, y_val=True, sample_weight_val=True
        )
        pipeline = Pipeline(
            [("scale", StandardScaler()), ("clf", clf)], transform_input=["X_val"]
        )
        pipeline.fit(train, Y[TRAIN], X_val=val, y_val=Y_VAL, sample_weight_val=weights)
    loss = log_loss(Y_VAL, pipeline.predict_proba(val), sample_weight=weights)
    assert pipeline[-1].best_loss_ == pytest.approx(loss, rel=1e-10)


def test_grid_search_stops_early():
    grid = {"alpha": [0.0, 0.3], "validation_fraction": [0.1, 0.3]}
    search = GridSearchCV(estimator(), grid, cv=3).fit(X, Y)
    assert search.best_estimator_.best_iter_ < 30
    assert search.best_score_ > 0.5
    with sklearn.config_context(enable_metadata_routing=True):
        clf = estimator().set_fit_request(X_val=True, y_val=True)
        search = GridSearchCV(clf, {"alpha": [0.0, 0.3]}, cv=3)
        search.fit(X[TRAIN], Y[TRAIN], X_val=X_VAL, y_val=Y_VAL)
    best = search.best_estimator_
    assert best.best_loss_ == pytest.approx(log_loss(Y_VAL, best.predict_proba(X_VAL)))
