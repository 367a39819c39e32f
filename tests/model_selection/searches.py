"""What the tests of searches share: a grid, a classifier, and how results are compared."""

import numpy as np

from sksoftmax import SoftmaxClassifier

GRID = {"alpha": [1e-2, 0.1, 1, 30], "learning_rate": ["auto", 0.05]}


def classifier(**parameters):
    return SoftmaxClassifier(**{"random_state": 0, "batch_size": 32, **parameters})


def assert_same_results(ours, theirs):
    """Equal keys, shapes, kinds and numbers, but for the times."""
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        found = ours[name]
        assert type(found) is type(expected)
        if name == "params":
            assert found == expected
            continue
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        if "_time" in name:
            assert (found >= 0).all()
        elif name.startswith("param_"):
            assert found.tolist() == expected.tolist()
        elif not name.startswith("rank_"):  # which scores decide, ties but for rounding too
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


SEVERAL = {"score_a": "accuracy", "score_b": "neg_log_loss"}


def several_scores(estimator, X, y):
    return {"score_a": estimator.score(X, y), "score_b": 1 - estimator.score(X, y)}
