"""Which candidates of a search may be fitted together, told from their parameters alone.

They may share a stack, a path of penalties, or the steps of a pipeline before the classifier.
This module must not know rows, nor how anything is fitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Real
from pickle import PicklingError
from typing import Any

import joblib
from sklearn import get_config
from sklearn.pipeline import Pipeline

from sksoftmax.estimators.classifier import SoftmaxClassifier
from sksoftmax.training.callbacks import has_callbacks, has_callbacks_of_its_own

MAY_DIFFER_IN_A_STACK = frozenset(
    {
        "alpha",
        "l1_ratio",
        "learning_rate",
        "max_iter",
        "momentum",
        "n_iter_no_change",
        "random_state",
        "schedule",
        "tol",
        "verbose",
        "warm_start",
    }
)
"""Parameters in which models of a stack may differ; `stack_traits` limits how, for some."""


def can_stack(estimator: Any) -> bool:
    """Say whether an estimator may be trained in a stack or on a path, in place of its ``fit``.

    Stacks and paths start from zeros, do not print, and have no callbacks that expect one fit.
    """
    return (
        type(estimator) is SoftmaxClassifier  # a subclass may train otherwise in any method
        and not estimator.warm_start
        and not (estimator.optimizer == "lbfgs" and estimator.early_stopping)  # an error
        and not estimator.verbose
        and not has_callbacks_of_its_own(estimator)
    )


def stack_traits(estimator: SoftmaxClassifier) -> tuple[Any, ...]:
    """Return the traits that models must have in common to share a stack."""
    names = [
        name for name in estimator._parameter_constraints if name not in MAY_DIFFER_IN_A_STACK
    ]
    shared = [_comparable(getattr(estimator, name)) for name in names]
    automatic = estimator.learning_rate == "auto"
    return (
        automatic,  # which alone measures where steps start, and remembers norms
        not automatic and estimator.momentum > 0,  # which alone needs a velocity
        estimator.l1_ratio > 0 and estimator.alpha != 0,  # whose steps alone are proximal
        *shared,
    )


def _comparable(value: Any) -> Any:
    """A parameter's value, or a hash of what it holds: clones have copies of objects."""
    if value is None or isinstance(value, (str, Real)):
        return value
    try:
        return str(joblib.hash(value))
    except PicklingError:
        return id(value)  # the same only as itself


def may_have_paths(estimator: Any, candidates: Iterable[Mapping[str, Any]]) -> bool:
    """Say whether candidates may go to the optimum on a path, each from the model before."""
    settings = estimator.get_params(), *candidates
    return any(
        name.split("__")[-1] == "optimizer" and value == "lbfgs"
        for parameters in settings
        for name, value in parameters.items()
    )


def can_share_pipeline(estimator: Any, fit_params: Mapping[str, Any]) -> bool:
    """Say whether the steps before the classifier may be fitted once for several candidates.

    They may in a plain pipeline, whose steps nobody watches. A subclass of Pipeline, such as
    one that draws rows anew, may train otherwise.
    """
    return (
        type(estimator) is Pipeline
        and len(estimator.steps) > 1
        and isinstance(estimator.steps[-1][1], SoftmaxClassifier)
        and getattr(estimator, "transform_input", None) is None
        and not estimator.verbose
        and not any(map(has_callbacks, (estimator, *dict(estimator.steps).values())))
        and not (get_config()["enable_metadata_routing"] and fit_params)
    )
