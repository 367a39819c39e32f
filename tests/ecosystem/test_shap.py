"""SHAP's LinearExplainer reads coefficients, and its values add up to the scores."""

import numpy as np
import pytest
from sklearn.datasets import load_wine

from sksoftmax import SoftmaxClassifier

# shap sets up colour maps by methods of matplotlib that are to be deprecated.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The set_(bad|over|under) function will be deprecated:PendingDeprecationWarning"
)

X, Y = load_wine(return_X_y=True)


@pytest.fixture
def shap():
    return pytest.importorskip("shap")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_values_are_those_of_a_linear_model(shap, n_classes, dtype):
    rows, y = X.astype(dtype), np.minimum(Y, n_classes - 1)
    clf = SoftmaxClassifier(random_state=0).fit(rows, y)
    background = shap.maskers.Independent(rows, max_samples=len(rows))
    explainer = shap.LinearExplainer(clf, background)
    values = explainer(rows).values

    centred = X - X.mean(axis=0)
    closed_form = centred[:, :, None] * clf.coef_.T.astype(float)
    scores = clf.decision_function(rows)
    expected = closed_form[..., 0] if n_classes == 2 else closed_form
    tolerance = np.abs(closed_form).max() * (1e-5 if dtype == "float32" else 1e-12)
    assert np.abs(values - expected).max() < tolerance
    assert np.abs(values.sum(axis=1) + explainer.expected_value - scores).max() < tolerance


def test_the_general_explainer_chooses_the_linear_one(shap):
    clf = SoftmaxClassifier(random_state=0).fit(X, Y)
    assert isinstance(shap.Explainer(clf, X), shap.LinearExplainer)
