"""Searches over parameters, whose candidates are trained together.

``search`` is scikit-learn's search with ``folds`` of its own, divided among ``processes`` or
cut short by ``halving``. In a fold, ``joint_fit`` trains together what ``sharing`` lets share
steps, and ``evaluation`` scores it. ``classifier_cv`` chooses the penalty of one classifier, by
the ``penalty_search`` inside it. This package must not know how models share a step.
"""

from sksoftmax.model_selection.search import SoftmaxSearchCV

__all__ = ["SoftmaxSearchCV"]
