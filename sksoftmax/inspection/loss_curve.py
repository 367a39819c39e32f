"""The loss curve of a fitted model as a picture.

This module must not know what the loss is, nor how epochs are run.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from sksoftmax.inspection.drawing import model_with, pyplot


class LossCurveDisplay:
    """The objective of each epoch as a curve, and the validation loss as a second one.

    Parameters
    ----------
    loss_curve : array-like of shape (n_epochs,)
        The objective of each epoch.
    validation_loss_curve : array-like of shape (n_epochs,), default=None
        The validation loss of each epoch, NaN where there is none; None for no second curve.
    estimator_name : str or None, default=None
        The label of the curve; None for none.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn on.
    figure_ : matplotlib Figure
        Its figure.
    line_ : matplotlib Line2D
        The curve.
    validation_line_ : matplotlib Line2D, or None
        The second curve.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sksoftmax import SoftmaxClassifier
    >>> from sksoftmax.inspection import LossCurveDisplay
    >>> clf = SoftmaxClassifier(early_stopping=True).fit(*load_wine(return_X_y=True))
    >>> display = LossCurveDisplay.from_estimator(clf)
    >>> display.ax_.get_xlabel(), len(display.ax_.lines)
    ('Epoch', 2)
    """

    def __init__(
        self,
        loss_curve: Any,
        *,
        validation_loss_curve: Any = None,
        estimator_name: str | None = None,
    ):
        self.loss_curve = loss_curve
        self.validation_loss_curve = validation_loss_curve
        self.estimator_name = estimator_name

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, ax: Any = None, name: str | None = None, **kwargs: Any
    ) -> Self:
        """Draw the loss curve of a fitted estimator.

        Parameters
        ----------
        estimator : SoftmaxClassifier, or a Pipeline or search around one
            A fitted estimator; of a search, the best one.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        name : str, default=None
            The label of the curve; None for the name of the class of the model.
        **kwargs : dict
            Passed on to ``Axes.plot``, for both curves.

        Returns
        -------
        LossCurveDisplay
            What was drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If the model has no loss curve.
        ImportError
            If matplotlib is missing.
        """
        model, _ = model_with(estimator, "loss_curve_")
        display = cls(
            model.loss_curve_,
            validation_loss_curve=getattr(model, "validation_loss_curve_", None),
            estimator_name=type(model).__name__ if name is None else name,
        )
        return display.plot(ax, **kwargs)

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the curve, and that of the validation loss dashed in the same colour.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        name : str, default=None
            The label of the curve; None for `estimator_name`.
        **kwargs : dict
            Passed on to ``Axes.plot``, for both curves.

        Returns
        -------
        LossCurveDisplay
            This display.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        """
        if ax is None:
            _, ax = pyplot().subplots()
        name = self.estimator_name if name is None else name
        epochs = np.arange(1, len(self.loss_curve) + 1)
        style = {"marker": "o", "markersize": 3} if len(epochs) <= 50 else {}
        style |= ({} if name is None else {"label": name}) | kwargs
        (self.line_,) = ax.plot(epochs, self.loss_curve, **style)
        self.validation_line_ = None
        ylabel = "Objective"
        if self.validation_loss_curve is not None:
            ylabel = "Objective, validation loss"
            if "label" in style:
                style["label"] = f"{style['label']}, validation"
            style |= {"color": self.line_.get_color(), "linestyle": "--"}
            (self.validation_line_,) = ax.plot(epochs, self.validation_loss_curve, **style)
        ax.set(xlabel="Epoch", ylabel=ylabel)
        ax.xaxis.get_major_locator().set_params(integer=True)
        if "label" in style:
            ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self
