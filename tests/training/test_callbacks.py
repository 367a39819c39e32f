"""scikit-learn's callbacks: what they are told of each epoch, and that they can end a fit."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksoftmax import SoftmaxClassifier
from sksoftmax_numpy import NumpyBackend

callback = pytest.importorskip(
    "sklearn.callback", reason="scikit-learn has callbacks from 1.9 on"
)

X, Y = load_iris(return_X_y=True)
WEIGHTS = np.random.default_rng(0).exponential(size=len(Y))


def estimator(**parameters):
    defaults = {"batch_size": 32, "max_iter": 6, "tol": None, "random_state": 0}
    return SoftmaxClassifier(**{**defaults, **parameters})


class Recorder:
    """Notes every call, and stops the fit after some epochs."""

    def __init__(self, stop_after=None, error_after=None):
        self.stop_after = stop_after
        self.error_after = error_after
        self.calls = []
        self.fitted = []
        self.arguments = []

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.calls.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.calls.append(f"end {context.task_name}")
        if context.task_name != "epoch":
            return None
        self.n_epochs_planned = context.parent.max_subtasks
        self.fitted.append(fitted_estimator)
        self.arguments.append((X, y, metadata))
        if len(self.fitted) == self.error_after:
            raise RuntimeError("the callback's own")
        return len(self.fitted) == self.stop_after


class PropagatedRecorder(Recorder):
    """One that meta-estimators hand on."""

    max_propagation_depth = None


def test_there_is_one_task_an_epoch():
    recorder = Recorder()
    clf = estimator(max_iter=2).set_callbacks(recorder).fit(X, Y, WEIGHTS)
    epoch = ["begin epoch", "end epoch"]
    assert recorder.calls == [
        "setup", "begin fit", *epoch, *epoch, "end fit", "teardown"
    ]  # fmt: skip
    assert recorder.n_epochs_planned == 2
    for rows, labels, metadata in recorder.arguments:
        np.testing.assert_array_equal(rows, X)
        np.testing.assert_array_equal(labels, Y)
        np.testing.assert_array_equal(metadata["sample_weight"], WEIGHTS)
    plain = estimator(max_iter=2).fit(X, Y, WEIGHTS)
    np.testing.assert_array_equal(clf.coef_, plain.coef_)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_each_epoch_hands_over_the_estimator_as_if_fit_ended_there(early_stopping):
    recorder = Recorder()
    settings = {"early_stopping": early_stopping, "learning_rate": 0.5}
    estimator(**settings).set_callbacks(recorder).fit(X, Y)
    assert len(recorder.fitted) == 6
    for n_epochs, fitted in enumerate(recorder.fitted, start=1):
        alone = estimator(max_iter=n_epochs, **settings).fit(X, Y)
        np.testing.assert_array_equal(fitted.predict_proba(X), alone.predict_proba(X))
        assert fitted.n_iter_ == n_epochs
        assert fitted.loss_curve_ == alone.loss_curve_
        assert fitted.best_iter_ == alone.best_iter_


def test_iterations_of_lbfgs_are_epochs():
    parameters = {"optimizer": "lbfgs", "max_iter": 30, "alpha": 0.01}
    whole = estimator(**parameters).fit(X, Y)
    recorder = Recorder(stop_after=12)
    clf = estimator(**parameters).set_callbacks(recorder).fit(X, Y)
    assert recorder.calls.count("begin epoch") == recorder.calls.count("end epoch") == 12
    assert clf.n_iter_ == 12
    assert clf.loss_curve_ == whole.loss_curve_[:12]
    for n_epochs, fitted in enumerate(recorder.fitted, start=1):
        assert fitted.n_iter_ == n_epochs
    np.testing.assert_array_equal(recorder.fitted[-1].coef_, clf.coef_)
    gaps = [fitted.dual_gap(X, Y) for fitted in recorder.fitted]
    assert gaps[-1] < gaps[5] < gaps[0]


def test_an_error_in_an_iteration_of_lbfgs_leaves_the_model_as_it_was():
    clf = estimator(optimizer="lbfgs", max_iter=30).fit(X, Y)
    coef = clf.coef_
    clf.set_callbacks(Recorder(error_after=8))
    with pytest.raises(RuntimeError, match="the callback's own"):
        clf.fit(X, Y)
    assert clf.coef_ is coef


class Saver:
    """Saves the model of each epoch, as one does against a machine that may go down."""

    def __init__(self):
        self.saved = []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if context.task_name == "epoch":
            self.saved.append(pickle.dumps(fitted_estimator))


def test_a_fit_goes_on_from_what_a_callback_has_saved():
    saver = Saver()
    whole = estimator().set_callbacks(saver).fit(X, Y)
    assert len(saver.saved) == 6
    for n_epochs, saved in enumerate(saver.saved[:-1], start=1):
        loaded = pickle.loads(saved)
        assert loaded.n_iter_ == n_epochs
        loaded.set_params(warm_start=True, max_iter=6 - n_epochs).fit(X, Y)
        np.testing.assert_array_equal(loaded.coef_, whole.coef_)
        assert loaded.loss_curve_ == whole.loss_curve_


def test_a_callback_ends_the_fit_without_a_warning_of_convergence():
    recorder = Recorder(stop_after=3)
    clf = estimator(tol=1e-8, max_iter=50).set_callbacks(recorder).fit(X, Y)
    assert clf.n_iter_ == 3
    assert recorder.calls[-3:] == ["end epoch", "end fit", "teardown"]
    with pytest.warns(ConvergenceWarning):
        whole = estimator(tol=1e-8, max_iter=3).fit(X, Y)
    np.testing.assert_array_equal(clf.coef_, whole.coef_)


def test_the_last_epoch_of_a_fit_that_stops_by_tol_ends_too():
    recorder = Recorder()
    clf = estimator(tol=1.0, max_iter=500).set_callbacks(recorder).fit(X, Y)
    assert clf.n_iter_ < 500
    assert recorder.calls.count("begin epoch") == clf.n_iter_
    assert recorder.calls.count("end epoch") == clf.n_iter_


@pytest.mark.parametrize("fitted_before", [False, True])
def test_an_error_in_a_callback_leaves_the_estimator_as_it_was(fitted_before):
    clf = estimator()
    if fitted_before:
        clf.fit(X[::2], Y[::2])
    recorder = Recorder(error_after=2)
    clf.set_callbacks(recorder)
    before = dict(vars(clf))
    with pytest.raises(RuntimeError, match="the callback's own"):
        clf.fit(X, Y)
    assert dict(vars(clf)) == before
    assert recorder.calls[-1] == "teardown"
    assert recorder.calls.count("teardown") == 1


def test_an_error_as_an_epoch_begins_comes_before_its_work():
    class RefusesTheThird(Recorder):
        def on_fit_task_begin(self, estimator, context):
            super().on_fit_task_begin(estimator, context)
            if self.calls.count("begin epoch") == 3:
                raise RuntimeError("the callback's own")

    class Counting(NumpyBackend):
        n_epochs = 0

        def trainer(self, problem, state):
            trainer = super().trainer(problem, state)
            run_epoch = trainer.run_epoch

            def counted(*arguments):
                self.n_epochs += 1
                return run_epoch(*arguments)

            trainer.run_epoch = counted
            return trainer

    backend = Counting()
    clf = estimator(backend=backend).set_callbacks(RefusesTheThird())
    with pytest.raises(RuntimeError, match="the callback's own"):
        clf.fit(X, Y)
    assert backend.n_epochs == 2


def test_bad_data_reach_the_end_of_a_callback_too():
    recorder = Recorder()
    with pytest.raises(ValueError, match="Input X contains NaN"):
        estimator().set_callbacks(recorder).fit(np.full_like(X, np.nan), Y)
    assert recorder.calls == ["setup", "teardown"]


def test_partial_fit_has_no_tasks():
    recorder = Recorder()
    estimator().set_callbacks(recorder).partial_fit(X, Y, classes=[0, 1, 2])
    assert recorder.calls == []


def test_a_scoring_monitor_sees_the_score_of_each_epoch():
    monitor = callback.ScoringMonitor(scoring="accuracy")
    estimator().set_callbacks(monitor).fit(X, Y)
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    scores = [
        accuracy_score(Y, estimator(max_iter=n).fit(X, Y).predict(X)) for n in range(1, 7)
    ]
    assert [row["accuracy"] for row in rows] == scores


def test_callbacks_pass_through_pipelines_and_searches():
    recorder = PropagatedRecorder()
    pipeline = make_pipeline(StandardScaler(), estimator())
    pipeline.set_callbacks(recorder).fit(X, Y)
    assert len(recorder.fitted) == 6
    recorder = PropagatedRecorder()
    search = GridSearchCV(clone(pipeline).set_callbacks(), {"softmaxclassifier__alpha": [0, 1]})
    search.set_callbacks(recorder).fit(X, Y)
    assert len(recorder.fitted) == 6 * (2 * 5 + 1)  # two candidates, five folds, a refit
    np.testing.assert_array_equal(recorder.fitted[-1].coef_, search.best_estimator_[-1].coef_)
    # One that is not handed on stays with the estimator it was given to, in every clone.
    recorder = Recorder(stop_after=2)
    pipeline = make_pipeline(StandardScaler(), estimator().set_callbacks(recorder))
    assert pipeline.fit(X, Y)[-1].n_iter_ == 2


def test_a_progress_bar_counts_epochs(capsys):
    estimator().set_callbacks(callback.ProgressBar()).fit(X, Y)
    out = capsys.readouterr().out
    assert "SoftmaxClassifier - fit" in out
    assert "100%" in out
