"""Searches over parameters, whose candidates are trained together.

``search`` is scikit-learn's search with ``folds`` of its own, in which ``joint_fit`` decides
which candidates can share their steps, ``evaluation`` scores them, and ``halving`` drops the
worse ones early; ``classifier_cv`` chooses the penalty of one classifier, by the
``penalty_search`` inside it.
This package must not know how models share a step.
"""

from sksoftmax.model_selection.search import SoftmaxSearchCV

__all__ = ["SoftmaxSearchCV"]
