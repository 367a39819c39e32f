"""What every display needs: the model within an estimator, and matplotlib.

This module must not know what is drawn.
"""

from __future__ import annotations

from typing import Any

from sklearn.utils.validation import check_is_fitted

from sksoftmax.estimators.final import final_estimator


def model_with(estimator: Any, *attributes: str) -> tuple[Any, Any]:
    """Return the model within an estimator, and the names of the features that it sees.

    Parameters
    ----------
    estimator : estimator
        Fitted: a model, or a Pipeline or search around one.
    *attributes : str
        Fitted attributes that the display reads.

    Returns
    -------
    model, names
        As ``final_estimator`` returns them.

    Raises
    ------
    TypeError
        If the model lacks one of the attributes.
    """
    model, names = final_estimator(estimator)
    check_is_fitted(model)
    missing = [name for name in attributes if not hasattr(model, name)]
    if not missing:
        return model, names
    needed, model_name = " and ".join(attributes), type(model).__name__
    raise TypeError(
        f"This display needs a model with {needed}, such as SoftmaxClassifier, or a Pipeline"
        f" or search that ends in one and was refitted. {model_name} has no"
        f" {' and no '.join(missing)}."
    )


def pyplot() -> Any:
    """Return ``matplotlib.pyplot``, or raise an ImportError that says how to install it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Displays need matplotlib. Install it with: pip install matplotlib"
        ) from error
    return plt
