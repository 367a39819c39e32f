"""The coefficients of a fitted model as pictures: images where features are pixels, else bars.

This module must not know how the coefficients were found.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sksoftmax.data.arrays import to_numpy
from sksoftmax.inspection.drawing import model_with, pyplot


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
        model, names = model_with(estimator, "coef_", "scale_")
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


def _grid(n_images: int, width: float, height: float, most_columns: int) -> NDArray[Any]:
    """Axes of a width and height in inches, in rows of so many at most."""
    n_columns = min(n_images, most_columns)
    n_rows = -(-n_images // n_columns)
    figure, axes = pyplot().subplots(
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
