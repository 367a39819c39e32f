"""Pictures of a fitted model: its loss curve, and its coefficients as images or bars.

Displays follow scikit-learn's conventions and import matplotlib only to draw. They read
fitted attributes alone, and must not know how these came about.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from sksoftmax.data.arrays import to_numpy
from sksoftmax.estimators.final import final_estimator


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
        model, _ = _model_with(estimator, "loss_curve_")
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
    """The coefficients of each class: an image where features are pixels, else bars.

    Parameters
    ----------
    coef : array-like of shape (n_classes, n_features)
        Coefficients, one row an image or a chart.
    titles : sequence of str
        What stands above each of them.
    image_shape : tuple of int, default=None
        Height and width; their product is the number of features. None for bars.
    feature_names : sequence of str, default=None
        What stands beside the bars; None for "x0", "x1", ...
    max_features : int, default=10
        Most bars of a class: those of its largest coefficients, whatever their sign.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        One for each class.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> from sklearn.datasets import load_digits, load_wine
    >>> from sksoftmax import SoftmaxClassifier
    >>> from sksoftmax.inspection import CoefficientDisplay
    >>> clf = SoftmaxClassifier(random_state=0).fit(*load_digits(return_X_y=True))
    >>> display = CoefficientDisplay.from_estimator(clf, image_shape=(8, 8))
    >>> len(display.axes_)
    10

    The features of a table have names, and bars:

    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> clf = SoftmaxClassifier(random_state=0).fit(X, y)
    >>> display = CoefficientDisplay.from_estimator(clf, max_features=3)
    >>> display.axes_[0].get_yticklabels()[0].get_text()
    'proline'
    """

    def __init__(
        self,
        coef: Any,
        *,
        titles: Any,
        image_shape: tuple[int, int] | None = None,
        feature_names: Any = None,
        max_features: int = 10,
    ):
        self.coef = coef
        self.titles = titles
        self.image_shape = image_shape
        self.feature_names = feature_names
        self.max_features = max_features

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        image_shape: tuple[int, int] | None = None,
        max_features: int = 10,
        axes: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the coefficients of a fitted estimator, per standard deviation of a feature.

        Parameters
        ----------
        estimator : SoftmaxClassifier, or a Pipeline or search around one
            A fitted estimator; of a search, the best one. Two classes give one image or
            chart, that of ``classes_[1]``. Features are those that the model itself was
            fitted on, by the names that the steps of a Pipeline before it give them.
        image_shape : tuple of int, default=None
            Height and width; their product is the number of features. None for bars.
        max_features : int, default=10
            Most bars of a class: those of its largest coefficients, whatever their sign.
        axes : sequence of matplotlib Axes, default=None
            Where to draw, one for each class; None for a new figure.
        **kwargs : dict
            Passed on to ``Axes.imshow`` or ``Axes.barh``.

        Returns
        -------
        CoefficientDisplay
            What was drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If the model has no coefficients, or no standard deviations of its features.
        ValueError
            If the features do not fill the image, or `axes` are too few or too many.
        ImportError
            If matplotlib is missing.
        """
        model, names = _model_with(estimator, "coef_", "scale_")
        coef = model.coef_
        coef = coef.toarray() if sparse.issparse(coef) else to_numpy(coef)
        classes = to_numpy(model.classes_)
        return cls(
            coef * to_numpy(model.scale_),
            titles=[str(label) for label in classes[-len(coef) :]],
            image_shape=image_shape,
            feature_names=names,
            max_features=max_features,
        ).plot(axes, **kwargs)

    def plot(self, axes: Any = None, **kwargs: Any) -> Self:
        """Draw images in one common scale of colours, white at zero, or bars in one of lengths.

        Parameters
        ----------
        axes : sequence of matplotlib Axes, default=None
            Where to draw, one for each class; None for a new figure.
        **kwargs : dict
            Passed on to ``Axes.imshow`` or ``Axes.barh``.

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
        shape = self.image_shape
        if shape is not None and coef.shape[1] != np.prod(shape):
            raise ValueError(
                f"image_shape={shape} has {np.prod(shape)} pixels, but there are"
                f" {coef.shape[1]} features. Leave image_shape out to draw bars."
            )
        if axes is None:
            axes = _grid(len(coef), 1.6, 1.9, 5) if shape else _grid(len(coef), 3.6, 2.6, 3)
        axes = np.ravel(axes)
        if len(axes) != len(coef):
            raise ValueError(f"{len(coef)} classes need as many axes, got {len(axes)}.")
        self.axes_, self.figure_ = axes, axes[0].figure
        limit = float(np.abs(coef).max()) or 1.0
        if shape is None:
            self._plot_bars(coef, limit, kwargs)
        else:
            self._plot_images(coef.reshape(-1, *shape), limit, kwargs)
        return self

    def _plot_images(self, images: NDArray[Any], limit: float, style: dict[str, Any]) -> None:
        style = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit} | style
        for ax, pixels, title in zip(self.axes_, images, self.titles, strict=True):
            image = ax.imshow(pixels, **style)
            ax.set(title=title, xticks=[], yticks=[])
        bar = self.figure_.colorbar(image, ax=list(self.axes_), shrink=0.8)
        bar.set_label("coefficient per standard deviation")

    def _plot_bars(self, coef: NDArray[Any], limit: float, style: dict[str, Any]) -> None:
        names = self.feature_names
        if names is None:
            names = [f"x{i}" for i in range(coef.shape[1])]
        for ax, row, title in zip(self.axes_, coef, self.titles, strict=True):
            largest = np.argsort(-np.abs(row), kind="stable")[: self.max_features]
            colours = np.where(row[largest] > 0, "#b2182b", "#2166ac")  # the ends of RdBu_r
            ax.barh(range(len(largest)), row[largest], **{"color": colours, **style})
            ax.set_yticks(range(len(largest)), [str(names[i]) for i in largest])
            ax.set(title=title, xlim=(-1.05 * limit, 1.05 * limit))
            ax.invert_yaxis()
            ax.axvline(0, color="black", linewidth=0.8)
        self.axes_[-1].set_xlabel("coefficient\nper standard deviation")


def _model_with(estimator: Any, *attributes: str) -> tuple[Any, Any]:
    """The model within an estimator, which has these fitted attributes, and its features."""
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


def _grid(n_images: int, width: float, height: float, most_columns: int) -> NDArray[Any]:
    """Axes of a width and height in inches, in rows of so many at most."""
    n_columns = min(n_images, most_columns)
    n_rows = -(-n_images // n_columns)
    figure, axes = _pyplot().subplots(
        n_rows,
        n_columns,
        figsize=(width * n_columns + 1.2, height * n_rows),
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
