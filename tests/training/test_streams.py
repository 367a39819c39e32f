"""Streams as they come: Parquet files batch by batch, and generators. Names are kept.

tests/ecosystem streams the blocks of a dask array.
"""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_wine

from sksoftmax import SoftmaxClassifier

X, Y = load_wine(return_X_y=True, as_frame=True)
ORDER = np.random.default_rng(0).permutation(len(Y))
X, Y = X.iloc[ORDER].reset_index(drop=True), Y.iloc[ORDER].reset_index(drop=True)
CHUNK = 50
CLASSES = ["barolo", "grignolino", "barbera"]
LABELS = np.array(CLASSES)[Y]


@pytest.fixture
def parquet(tmp_path):
    table = pa.Table.from_pandas(X.assign(wine=LABELS), preserve_index=False)
    pq.write_table(table, tmp_path / "wine.parquet", row_group_size=70)
    return pq.ParquetFile(tmp_path / "wine.parquet")


def reference():
    clf = SoftmaxClassifier(random_state=0)
    for start in range(0, len(X), CHUNK):
        chunk = slice(start, start + CHUNK)
        clf.partial_fit(X[chunk], LABELS[chunk], classes=CLASSES)
    return clf


@pytest.mark.parametrize("frames", ["pandas", "polars"])
def test_batches_of_a_parquet_file(parquet, frames):
    clf = SoftmaxClassifier(random_state=0)
    for batch in parquet.iter_batches(batch_size=CHUNK):
        if frames == "pandas":
            frame = batch.to_pandas()
            rows, labels = frame.drop(columns="wine"), frame["wine"]
        else:
            frame = pytest.importorskip("polars").from_arrow(batch)
            rows, labels = frame.drop("wine"), frame["wine"]
        clf.partial_fit(rows, labels, classes=CLASSES)
    assert clf.feature_names_in_.tolist() == X.columns.tolist()
    assert clf.n_samples_seen_ == len(X)
    np.testing.assert_allclose(clf.coef_, reference().coef_, rtol=1e-10)
    assert clf.score(X, LABELS) > 0.95


def test_names_are_checked_in_each_batch(parquet):
    first, second, *_ = (b.to_pandas() for b in parquet.iter_batches(batch_size=CHUNK))
    clf = SoftmaxClassifier(random_state=0)
    clf.partial_fit(first.drop(columns="wine"), first["wine"], classes=CLASSES)
    before = clf.coef_.copy()
    renamed = second.drop(columns="wine").rename(columns={"alcohol": "spirit"})
    with pytest.raises(ValueError, match=r"(?s)feature names.*spirit"):
        clf.partial_fit(renamed, second["wine"])
    with pytest.raises(ValueError, match="same order"):
        clf.partial_fit(second.drop(columns="wine").iloc[:, ::-1], second["wine"])
    with pytest.raises(ValueError, match="unseen labels"):
        clf.partial_fit(second.drop(columns="wine"), ["merlot"] * len(second))
    np.testing.assert_array_equal(clf.coef_, before)


def test_a_generator_of_chunks():
    rows = X.to_numpy()
    chunks = (
        (rows[start : start + CHUNK], LABELS[start : start + CHUNK])
        for start in range(0, len(rows), CHUNK)
    )
    clf = SoftmaxClassifier(random_state=0)
    for chunk in chunks:
        clf.partial_fit(*chunk, classes=CLASSES)
    np.testing.assert_allclose(clf.coef_, reference().coef_, rtol=1e-10)
    assert not hasattr(clf, "feature_names_in_")
