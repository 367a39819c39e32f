"""The private names of scikit-learn that we use, each with the reason; nobody else imports one.

scikit-learn may change them in any release: the workflow therefore tests against its nightly
builds. Whatever gets a public equivalent moves out of here. One more is overridden where it
belongs, ``_get_param_names`` of ``SoftmaxClassifier``.
"""

from __future__ import annotations

from contextlib import nullcontext

# Parameters are validated, and errors worded, as scikit-learn's own estimators do it. It
# recommends this to nobody outside, and offers nothing else.
from sklearn.base import _fit_context

# The containers in which scikit-learn's searches hand around several scorers, and the default
# one: a search tells by them whether scores can be had from predictions that are at hand.
from sklearn.metrics._scorer import _BaseScorer, _MultimetricScorer, _PassthroughScorer

# Our search is one of scikit-learn's: it has their attributes, routing, tags and results.
from sklearn.model_selection._search import BaseSearchCV

# Scores, failures and warnings of candidates that we fit ourselves, in the same words.
from sklearn.model_selection._validation import (
    _insert_error_scores,
    _score,
    _warn_or_raise_about_fit_failures,
)

# What an estimator says where metadata are passed and routing is off.
from sklearn.utils._metadata_requests import _raise_for_params

# The constraints that _fit_context checks.
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_parameter_constraints,
)

# Rows of a fold for any container, and for precomputed kernels.
from sklearn.utils.metaestimators import _safe_split

# A controller of BLAS threads that is kept: to look for the libraries takes milliseconds.
from sklearn.utils.parallel import _get_threadpool_controller

# Weights and parameters of fit as scikit-learn checks them.
from sklearn.utils.validation import _check_method_params, _check_sample_weight

# Arrays of other libraries, as scikit-learn dispatches on them: from its version 1.9 on.
try:
    from sklearn.utils._array_api import (
        check_same_namespace,
        get_namespace_and_device,
        move_to,
    )
except ImportError:
    HAS_ARRAY_API = False
    check_same_namespace = get_namespace_and_device = move_to = None
else:
    HAS_ARRAY_API = True

# Callbacks of ours begin and end where those of scikit-learn's estimators do: from 1.9 on.
try:
    from sklearn.callback._callback_support import callback_management_context
except ImportError:
    callback_management_context = nullcontext

__all__ = [
    "HAS_ARRAY_API",
    "BaseSearchCV",
    "HasMethods",
    "Interval",
    "StrOptions",
    "_BaseScorer",
    "_MultimetricScorer",
    "_PassthroughScorer",
    "_check_method_params",
    "_check_sample_weight",
    "_fit_context",
    "_get_threadpool_controller",
    "_insert_error_scores",
    "_raise_for_params",
    "_safe_split",
    "_score",
    "_warn_or_raise_about_fit_failures",
    "callback_management_context",
    "check_same_namespace",
    "get_namespace_and_device",
    "move_to",
    "validate_parameter_constraints",
]
