"""The model at the end of searches and Pipelines, and the names of the features it sees.

This module knows how scikit-learn nests estimators. It must not know what a model holds.
"""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline


def final_estimator(estimator: Any) -> tuple[Any, Any]:
    """Return what predicts at the end of a fitted search or Pipeline.

    Parameters
    ----------
    estimator : estimator
        A search, a Pipeline, these nested in any way, or a model.

    Returns
    -------
    model : estimator
        The last step of the best Pipeline; `estimator` itself if it is neither, or a search
        that holds no best estimator.
    names : ndarray of shape (n_features,), or None
        Names of the features that `model` was fitted on: those that the steps before it give
        to what they return, else its own ``feature_names_in_``. None where nobody has names.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sksoftmax import SoftmaxClassifier
    >>> from sksoftmax.estimators.final import final_estimator
    >>> pipeline = make_pipeline(StandardScaler(), SoftmaxClassifier())
    >>> model, names = final_estimator(pipeline.fit(*load_iris(return_X_y=True)))
    >>> type(model).__name__, names.tolist()
    ('SoftmaxClassifier', ['x0', 'x1', 'x2', 'x3'])
    """
    names = None
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, Pipeline):
            names = _names_of_output(estimator, names)
            estimator = estimator.steps[-1][1]
        else:
            own = getattr(estimator, "feature_names_in_", None)
            return estimator, own if names is None else names


def _names_of_output(pipeline: Pipeline, names: Any) -> Any:
    """Names of the features that the last step sees; None where a step gives none."""
    if len(pipeline.steps) == 1:
        return names
    try:
        return pipeline[:-1].get_feature_names_out(names)
    except (AttributeError, ValueError):  # some step has no names for what it returns
        return None
