"""Pictures of a fitted model: its loss curve, and its coefficients as images.

Displays follow scikit-learn's conventions and import matplotlib only to draw. They read
fitted attributes alone, and must not know how these came about.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sksoftmax.data.arrays import to_numpy


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
        estimator : SoftmaxClassifier
            A fitted estimator.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        name : str, default=None
            The label of the curve; None for the name of the estimator's class.
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
        ImportError
            If matplotlib is missing.
        """
        check_is_fitted(estimator, "loss_curve_")
        name = type(estimator).__name__ if name is None else name
        display = cls(
            estimator.loss_curve_,
            validation_loss_curve=estimator.validation_loss_curve_,
            estimator_name=name,
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
            _, ax = _pyplot().subplots()
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


class CoefficientDisplay:
    """The coefficients of each class as an image, where features are pixels.

    Parameters
    ----------
    coef : array-like of shape (n_images, n_features)
        Coefficients, one row an image.
    image_shape : tuple of int
        Height and width; their product is the number of features.
    titles : sequence of str
        What stands above each image.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        One for each image.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sksoftmax import SoftmaxClassifier
    >>> from sksoftmax.inspection import CoefficientDisplay
    >>> clf = SoftmaxClassifier(random_state=0).fit(*load_digits(return_X_y=True))
    >>> display = CoefficientDisplay.from_estimator(clf, image_shape=(8, 8))
    >>> len(display.axes_)
    10
    """

    def __init__(self, coef: Any, *, image_shape: tuple[int, int], titles: Any):
        self.coef = coef
        self.image_shape = image_shape
        self.titles = titles

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, image_shape: tuple[int, int], axes: Any = None, **kwargs: Any
    ) -> Self:
        """Draw the coefficients of a fitted estimator, per standard deviation of a feature.

        Parameters
        ----------
        estimator : SoftmaxClassifier
            A fitted estimator. Two classes give one image, that of ``classes_[1]``.
        image_shape : tuple of int
            Height and width; their product is the number of features.
        axes : sequence of matplotlib Axes, default=None
            Where to draw, one for each image; None for a new figure.
        **kwargs : dict
            Passed on to ``Axes.imshow``.

        Returns
        -------
        CoefficientDisplay
            What was drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If the features do not fill the image, or `axes` are too few or too many.
        ImportError
            If matplotlib is missing.
        """
        check_is_fitted(estimator, "coef_")
        classes, coef = to_numpy(estimator.classes_), to_numpy(estimator.coef_)
        titles = [str(label) for label in classes[-len(coef) :]]
        coef = coef * to_numpy(estimator.scale_)
        return cls(coef, image_shape=image_shape, titles=titles).plot(axes, **kwargs)

    def plot(self, axes: Any = None, **kwargs: Any) -> Self:
        """Draw the images in one common scale of colours, white at zero.

        Parameters
        ----------
        axes : sequence of matplotlib Axes, default=None
            Where to draw, one for each image; None for a new figure.
        **kwargs : dict
            Passed on to ``Axes.imshow``.

        Returns
        -------
        CoefficientDisplay
            This display.

        Raises
        ------
        ValueError
            If the features do not fill the image, or `axes` are too few or too many.
        ImportError
            If matplotlib is missing.
        """
        coef = np.asarray(self.coef)
        if coef.shape[1] != np.prod(self.image_shape):
            raise ValueError(
                f"image_shape={self.image_shape} has {np.prod(self.image_shape)} pixels, but"
                f" there are {coef.shape[1]} features."
            )
        axes = _grid(len(coef)) if axes is None else np.ravel(axes)
        if len(axes) != len(coef):
            raise ValueError(f"{len(coef)} images need as many axes, got {len(axes)}.")
        limit = float(np.abs(coef).max()) or 1.0
        style = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit} | kwargs
        for ax, row, title in zip(axes, coef, self.titles, strict=True):
            image = ax.imshow(row.reshape(self.image_shape), **style)
            ax.set(title=title, xticks=[], yticks=[])
        self.axes_, self.figure_ = axes, axes[0].figure
        bar = self.figure_.colorbar(image, ax=list(axes), shrink=0.8)
        bar.set_label("coefficient per standard deviation")
        return self


def _grid(n_images: int) -> NDArray[Any]:
    """Axes in rows of at most five."""
    n_columns = min(n_images, 5)
    n_rows = -(-n_images // n_columns)
    figure, axes = _pyplot().subplots(
        n_rows,
        n_columns,
        figsize=(1.6 * n_columns + 1.2, 1.9 * n_rows),
        squeeze=False,
        layout="constrained",
    )
    for unused in axes.ravel()[n_images:]:
        figure.delaxes(unused)
    drawn: NDArray[Any] = axes.ravel()[:n_images]
    return drawn


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Displays need matplotlib. Install it with: pip install matplotlib"
        ) from error
    return plt
