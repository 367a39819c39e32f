"""Callbacks of searches hear what those of GridSearchCV hear, though candidates share steps."""

from collections import Counter

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksoftmax import SoftmaxClassifier, SoftmaxClassifierCV, SoftmaxSearchCV

callback = pytest.importorskip(
    "sklearn.callback", reason="scikit-learn has callbacks from 1.9 on"
)

X, Y = load_iris(return_X_y=True)
WEIGHTS = np.random.default_rng(0).exponential(size=len(Y))


def estimator(**parameters):
    defaults = {"batch_size": 32, "max_iter": 6, "tol": None, "random_state": 0}
    return SoftmaxClassifier(**{**defaults, **parameters})


class Tree:
    """Notes each task by its path from the root, when it begins and when it ends."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.events = []
        self.owners = set()
        self.epochs = {}

    def setup(self, estimator, context):
        self.events.append(("setup", path(context)))

    def teardown(self, estimator, context):
        self.events.append(("teardown", path(context)))

    def on_fit_task_begin(self, estimator, context):
        self.events.append(("begin", path(context)))

    def on_fit_task_end(self, estimator, context, *, X, metadata, fitted_estimator):
        self.events.append(("end", path(context)))
        self.owners.add(type(estimator).__name__)
        if context.task_name == "epoch":
            self.epochs[path(context)] = (fitted_estimator, X.shape, metadata)
            return context.task_id + 1 == self.stop_after
        return None


class PropagatedTree(Tree):
    max_propagation_depth = None


class ShallowTree(Tree):
    max_propagation_depth = 1


def path(context):
    here = (context.task_name, context.task_id, context.max_subtasks, context.source_task_name)
    return (*(() if context.parent is None else path(context.parent)), here)


GRID = {"alpha": [1e-3, 1e-2, 1e-1], "learning_rate": ["auto", 0.05]}


def searched(search, estimator, grid, callbacks, **parameters):
    settings = {"cv": 3, **parameters}
    weights = {} if hasattr(estimator, "steps") else {"sample_weight": WEIGHTS}
    return search(estimator, grid, **settings).set_callbacks(*callbacks).fit(X, Y, **weights)


@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("kind", [Tree, ShallowTree, PropagatedTree])
@pytest.mark.parametrize("in_pipeline", [False, True])
def test_a_search_has_the_tasks_of_grid_search(in_pipeline, kind, refit):
    model, grid = estimator(max_iter=3), GRID
    if in_pipeline:
        model = make_pipeline(StandardScaler(), model)
        grid = {f"softmaxclassifier__{name}": values for name, values in grid.items()}
    ours, theirs = kind(), kind()
    search = searched(SoftmaxSearchCV, model, grid, [ours], refit=refit)
    expected = searched(GridSearchCV, model, grid, [theirs], refit=refit)
    assert Counter(ours.events) == Counter(theirs.events)
    assert ours.events[:2] == theirs.events[:2]
    assert ours.events[-2:] == theirs.events[-2:]
    assert len(ours.owners) == len(theirs.owners)
    name = "mean_test_score"
    np.testing.assert_allclose(search.cv_results_[name], expected.cv_results_[name])
    # Those who hear nothing have the same scores, from steps that are shared.
    alone = searched(SoftmaxSearchCV, model, grid, [], refit=refit)
    np.testing.assert_allclose(search.cv_results_[name], alone.cv_results_[name])


def test_each_epoch_of_a_search_hands_over_the_estimator_as_if_fit_ended_there():
    ours, theirs = PropagatedTree(), PropagatedTree()
    searched(SoftmaxSearchCV, estimator(max_iter=4), GRID, [ours])
    searched(GridSearchCV, estimator(max_iter=4), GRID, [theirs])
    assert ours.epochs.keys() == theirs.epochs.keys()
    assert len(ours.epochs) == 4 * (6 * 3 + 1)
    for place, (fitted, shape, metadata) in ours.epochs.items():
        other, other_shape, other_metadata = theirs.epochs[place]
        assert shape == other_shape
        np.testing.assert_array_equal(*(m["sample_weight"] for m in (metadata, other_metadata)))
        assert fitted.n_iter_ == other.n_iter_ == place[-1][1] + 1
        np.testing.assert_allclose(fitted.coef_, other.coef_, rtol=1e-6, atol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_callback_ends_each_fit_of_a_search():
    callback = PropagatedTree(stop_after=2)
    search = searched(SoftmaxSearchCV, estimator(tol=1e-8, max_iter=50), GRID, [callback])
    two = searched(SoftmaxSearchCV, estimator(tol=1e-8, max_iter=2), GRID, [])
    name = "mean_test_score"
    np.testing.assert_allclose(search.cv_results_[name], two.cv_results_[name])
    assert search.best_estimator_.n_iter_ == 2


def test_tasks_of_candidates_that_fail_or_are_dropped_end():
    grid = {"alpha": [1e-3, 1, 10, 30], "learning_rate": ["auto", 1e300]}
    for parameters in ({}, {"halving": 2}):
        tree, propagated = Tree(), PropagatedTree()
        with pytest.warns(FitFailedWarning):
            searched(
                SoftmaxSearchCV, estimator(), grid, [tree, propagated], error_score=0.0,
                **parameters,
            )  # fmt: skip
        begun, ended = (
            Counter(where for what, where in tree.events if what == name)
            for name in ("begin", "end")
        )
        assert begun == ended
        assert len([where for where in begun if len(where) == 3]) == 8 * 3
        # Those whose fit has failed do not end as fits, and all others do.
        begun, ended = (
            {
                where
                for what, where in propagated.events
                if what == name and len(where) == 3 and where[1][0] == "search"
            }
            for name in ("begin", "end")
        )
        assert ended < begun
        assert len(ended) == 4 * 3


def test_callbacks_of_a_candidate_stay_with_it():
    ours = Tree()
    model = estimator(max_iter=2).set_callbacks(ours)
    SoftmaxSearchCV(model, {"alpha": [0, 1]}, cv=2).fit(X, Y)
    theirs = Tree()
    model = estimator(max_iter=2).set_callbacks(theirs)
    GridSearchCV(model, {"alpha": [0, 1]}, cv=2).fit(X, Y)
    assert Counter(ours.events) == Counter(theirs.events)


def test_an_error_in_a_callback_fails_one_fit():
    class Failing(PropagatedTree):
        def on_fit_task_end(self, estimator, context, *, X, metadata, fitted_estimator):
            if context.task_name == "epoch" and context.parent.task_id == 4:
                raise RuntimeError("the callback's own")

    with (
        pytest.warns(FitFailedWarning, match="1 fits failed(?s:.*)the callback's own"),
        pytest.warns(UserWarning, match="One or more of the test scores are non-finite"),
    ):
        search = searched(SoftmaxSearchCV, estimator(), {"alpha": [1e-3, 1]}, [Failing()])
    assert np.isnan(search.cv_results_["split1_test_score"]).tolist() == [False, True]
    assert search.best_params_ == {"alpha": 1e-3}


@pytest.mark.parametrize("kind", [Tree, PropagatedTree])
def test_the_classifier_that_chooses_its_penalty_has_the_tasks_of_a_search(kind):
    ours, theirs = kind(), kind()
    settings = {"max_iter": 3, "tol": None, "batch_size": 32, "random_state": 0}
    clf = SoftmaxClassifierCV(alphas=[1e-3, 1], cv=3, **settings).set_callbacks(ours)
    clf.fit(X, Y, WEIGHTS)
    searched(GridSearchCV, estimator(max_iter=3), {"alpha": [1e-3, 1]}, [theirs])
    assert Counter(ours.events) == Counter(theirs.events)
    assert ours.events[0][0] == "setup"
    assert ours.events[-1][0] == "teardown"
    owners = {"SoftmaxClassifierCV"}
    if kind is PropagatedTree:
        owners.add("SoftmaxClassifier")
    assert ours.owners == owners
    plain = SoftmaxClassifierCV(alphas=[1e-3, 1], cv=3, **settings).fit(X, Y, WEIGHTS)
    np.testing.assert_array_equal(clf.scores_, plain.scores_)
    np.testing.assert_array_equal(clf.coef_, plain.coef_)


@pytest.mark.parametrize(
    "model",
    [
        SoftmaxSearchCV(estimator(), {"alpha": [1e-3, 1]}, cv=3),
        SoftmaxClassifierCV(alphas=[1e-3, 1], cv=3, max_iter=6, tol=None),
    ],
    ids=lambda model: type(model).__name__,
)
def test_an_error_at_the_end_of_a_search_leaves_it_as_it_was(model):
    class Failing(Tree):
        def on_fit_task_end(self, estimator, context, *, X, metadata, fitted_estimator):
            if context.parent is None:
                raise RuntimeError("the callback's own")

    model = clone(model).fit(X, Y)
    callback = Failing()
    model.set_callbacks(callback)
    before = dict(vars(model))
    with pytest.raises(RuntimeError, match="the callback's own"):
        model.fit(X[::2], Y[::2])
    assert vars(model) == before
    assert [what for what, _ in callback.events].count("teardown") == 1


@pytest.mark.slow
def test_tasks_reach_callbacks_from_other_processes():
    recorders = pytest.importorskip("sklearn.callback.tests._utils")

    def tasks(search):
        recorder = recorders.RecordingAutoPropagatedCallback()
        searched(search, estimator(backend="numpy"), GRID, [recorder], n_jobs=2)
        return Counter((row["name"], row["context"].task_name) for row in recorder.record)

    ours = tasks(SoftmaxSearchCV)
    assert ours["on_fit_task_end", "epoch"] == 6 * (6 * 3 + 1)
    assert ours == tasks(GridSearchCV)


@pytest.mark.parametrize("in_pipeline", [False, True])
def test_a_progress_bar_counts_the_fits_of_a_search(in_pipeline, capsys):
    # Another test may have made rich's console already, as wide as a terminal.
    pytest.importorskip("rich").reconfigure(width=200)
    model = make_pipeline(estimator()) if in_pipeline else estimator()
    grid = {"softmaxclassifier__alpha" if in_pipeline else "alpha": [1e-3, 1]}
    searched(SoftmaxSearchCV, model, grid, [callback.ProgressBar()], cv=2)
    out = capsys.readouterr().out
    assert "SoftmaxSearchCV - search" in out
    assert out.count("candidate-split-evaluation") == 4
    assert "refit-with-best-params" in out
    assert "100%" in out
