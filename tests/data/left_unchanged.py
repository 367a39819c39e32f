"""What the tests of bad input share: iris, and that an error leaves a model as it was."""

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_iris

X, Y = load_iris(return_X_y=True)


def assert_raises_and_changes_nothing(clf, message, call, error=ValueError):
    """`call(clf)` raises, and every attribute and prediction stays bit for bit."""
    names, digest, predictions = list(vars(clf)), joblib.hash(vars(clf)), clf.predict_proba(X)
    with pytest.raises(error, match=message):
        call(clf)
    assert list(vars(clf)) == names
    assert joblib.hash(vars(clf)) == digest
    np.testing.assert_array_equal(clf.predict_proba(X), predictions)
