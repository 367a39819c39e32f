"""imbalanced-learn's pipelines, which train on rows drawn anew."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler
from sklearn.utils import shuffle

from sksoftmax import SoftmaxClassifier, SoftmaxSearchCV

imblearn_pipeline = pytest.importorskip("imblearn.pipeline")
under_sampling = pytest.importorskip("imblearn.under_sampling")

GRID = {
    "softmaxclassifier__alpha": [1e-3, 1.0],
    "randomundersampler__replacement": [False, True],
}


@pytest.mark.parametrize("scaled", [False, True], ids=["sampler last", "scaler last"])
@pytest.mark.parametrize("n_rows", [150, 120], ids=["balanced", "unbalanced"])
def test_a_search_trains_on_the_labels_of_the_rows_drawn(n_rows, scaled):
    X, y = load_iris(return_X_y=True)
    X, y = shuffle(X[:n_rows], y[:n_rows], random_state=0)
    steps = [under_sampling.RandomUnderSampler(random_state=0)]
    if scaled:
        steps.append(StandardScaler())
    pipeline = imblearn_pipeline.make_pipeline(*steps, SoftmaxClassifier(random_state=0))
    ours = SoftmaxSearchCV(pipeline, GRID, cv=3).fit(X, y)
    theirs = GridSearchCV(pipeline, GRID, cv=3).fit(X, y)
    for name in ("mean_test_score", "split0_test_score"):
        np.testing.assert_array_equal(ours.cv_results_[name], theirs.cv_results_[name])
    np.testing.assert_array_equal(ours.predict_proba(X), theirs.predict_proba(X))
    assert ours.best_score_ > 0.9
