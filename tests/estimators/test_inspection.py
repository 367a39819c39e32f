"""What the displays draw, and that matplotlib is needed only then."""

import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sksoftmax import SoftmaxClassifier, SoftmaxClassifierCV, SoftmaxSearchCV
from sksoftmax.inspection import CoefficientDisplay, LossCurveDisplay

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def digits():
    return SoftmaxClassifier(random_state=0).fit(*load_digits(return_X_y=True))


def test_loss_curve_is_drawn_from_the_first_epoch(digits):
    figure, ax = plt.subplots()
    display = LossCurveDisplay.from_estimator(digits, ax=ax, name="digits", color="red")
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert_allclose(display.line_.get_xdata(), np.arange(1, digits.n_iter_ + 1))
    assert_allclose(display.line_.get_ydata(), digits.loss_curve_)
    assert display.line_.get_color() == "red"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["digits"]
    again = LossCurveDisplay(digits.loss_curve_).plot()
    assert again.ax_ is not ax
    assert again.ax_.get_legend() is None


def test_validation_loss_is_a_second_curve(digits):
    assert LossCurveDisplay.from_estimator(digits).validation_line_ is None
    X, y = load_digits(return_X_y=True)
    clf = SoftmaxClassifier(early_stopping=True, random_state=0).fit(X, y)
    display = LossCurveDisplay.from_estimator(clf, name="digits")
    first, second = display.ax_.lines
    assert second is display.validation_line_
    assert_allclose(second.get_xdata(), np.arange(1, clf.n_iter_ + 1))
    assert_allclose(second.get_ydata(), clf.validation_loss_curve_)
    assert second.get_color() == first.get_color()
    assert second.get_linestyle() != first.get_linestyle()
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == ["digits", "digits, validation"]
    again = LossCurveDisplay([2.0, 1.0], validation_loss_curve=[np.nan, 1.5]).plot(color="red")
    assert again.validation_line_.get_color() == "red"
    assert again.ax_.get_legend() is None


def test_coefficients_are_one_image_a_class_in_one_scale(digits):
    display = CoefficientDisplay.from_estimator(digits, image_shape=(8, 8))
    assert [ax.get_title() for ax in display.axes_] == list("0123456789")
    images = [ax.images[0] for ax in display.axes_]
    assert_allclose(images[3].get_array(), (digits.coef_[3] * digits.scale_).reshape(8, 8))
    assert len({image.get_clim() for image in images}) == 1
    low, high = images[0].get_clim()
    assert low == -high == -np.abs(digits.coef_ * digits.scale_).max()


def test_two_classes_are_one_image():
    X, y = load_breast_cancer(return_X_y=True)
    clf = SoftmaxClassifier().fit(X, np.where(y, "benign", "malignant"))
    display = CoefficientDisplay.from_estimator(clf, image_shape=(5, 6), cmap="PiYG")
    assert [ax.get_title() for ax in display.axes_] == ["malignant"]
    assert display.axes_[0].images[0].get_cmap().name == "PiYG"


@pytest.fixture(scope="module")
def wine():
    return load_wine(return_X_y=True, as_frame=True)


def test_named_columns_are_bars_the_largest_first(wine):
    X, y = wine
    clf = SoftmaxClassifier(random_state=0).fit(X, y)
    display = CoefficientDisplay.from_estimator(clf, max_features=4)
    assert [ax.get_title() for ax in display.axes_] == ["0", "1", "2"]
    standardised = clf.coef_ * clf.scale_
    for ax, row in zip(display.axes_, standardised, strict=True):
        largest = np.argsort(-np.abs(row))[:4]
        assert [text.get_text() for text in ax.get_yticklabels()] == list(X.columns[largest])
        assert_allclose([bar.get_width() for bar in ax.patches], row[largest])
    assert len({ax.get_xlim() for ax in display.axes_}) == 1
    assert display.axes_[0].yaxis_inverted()
    unnamed = SoftmaxClassifier(random_state=0).fit(X.to_numpy(), y).sparsify()
    labels = CoefficientDisplay.from_estimator(unnamed).axes_[0].get_yticklabels()
    assert len(labels) == 10
    assert {text.get_text() for text in labels} <= {f"x{i}" for i in range(13)}


def test_pipelines_and_searches_show_the_model_at_their_end(wine):
    X, y = wine
    columns = make_column_transformer(
        (StandardScaler(), ["alcohol", "hue"]), ("passthrough", ["proline"])
    )
    pipeline = make_pipeline(columns, SoftmaxClassifier(random_state=0))
    grid = {"softmaxclassifier__alpha": [1e-2, 1]}
    names = {"standardscaler__alcohol", "standardscaler__hue", "passthrough__proline"}
    for estimator in (
        clone(pipeline),
        GridSearchCV(pipeline, grid),
        SoftmaxSearchCV(pipeline, grid),
        make_pipeline("passthrough", clone(pipeline)),
    ):
        estimator.fit(X, y)
        labels = CoefficientDisplay.from_estimator(estimator).axes_[0].get_yticklabels()
        assert {text.get_text() for text in labels} == names
        curve = LossCurveDisplay.from_estimator(estimator)
        assert curve.estimator_name == "SoftmaxClassifier"
    unnamed = make_pipeline(FunctionTransformer(np.log1p), SoftmaxClassifier()).fit(X, y)
    label = CoefficientDisplay.from_estimator(unnamed).axes_[0].get_yticklabels()[0]
    assert label.get_text() in {*X.columns, *(f"x{i}" for i in range(13))}
    cv = SoftmaxClassifierCV(alphas=[1e-2, 1], cv=2, random_state=0).fit(X, y)
    assert LossCurveDisplay.from_estimator(cv).validation_line_ is None
    assert len(CoefficientDisplay.from_estimator(cv).axes_) == 3


def test_models_that_have_nothing_to_show_are_named(wine):
    X, y = wine
    others = {
        LossCurveDisplay: GaussianNB(),
        CoefficientDisplay: make_pipeline(StandardScaler(), LogisticRegression()),
    }
    for display, estimator in others.items():
        with pytest.raises(TypeError, match=r"needs a model with .* has no (loss_c|scale)"):
            display.from_estimator(estimator.fit(X, y))
    search = GridSearchCV(SoftmaxClassifier(), {"alpha": [1e-2, 1]}, refit=False).fit(X, y)
    with pytest.raises(TypeError, match=r"was refitted\. GridSearchCV has no coef_ and no sc"):
        CoefficientDisplay.from_estimator(search)
    for unfitted in (
        make_pipeline(StandardScaler(), SoftmaxClassifier()),
        SoftmaxSearchCV(SoftmaxClassifier(), {"alpha": [1]}),
    ):
        with pytest.raises(NotFittedError):
            CoefficientDisplay.from_estimator(unfitted)


def test_errors_say_what_is_wrong(digits):
    for draw in (
        lambda: LossCurveDisplay.from_estimator(SoftmaxClassifier()),
        lambda: CoefficientDisplay.from_estimator(SoftmaxClassifier(), image_shape=(8, 8)),
    ):
        with pytest.raises(NotFittedError):
            draw()
    with pytest.raises(ValueError, match=r"has 63 pixels, but there are 64 features"):
        CoefficientDisplay.from_estimator(digits, image_shape=(7, 9))
    _, axes = plt.subplots(3, 3)
    with pytest.raises(ValueError, match="10 classes need as many axes, got 9"):
        CoefficientDisplay.from_estimator(digits, image_shape=(8, 8), axes=axes)


def test_matplotlib_is_imported_to_draw_only():
    # Where it is missing, as simulated by the import system's own mark for "not to be found".
    program = """
import sys
sys.modules["matplotlib"] = None
from sksoftmax.inspection import LossCurveDisplay
display = LossCurveDisplay([2.0, 1.0])
try:
    display.plot()
except ImportError as error:
    print(error)
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "pip install matplotlib" in result.stdout
