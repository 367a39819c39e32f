"""Sparse rows whose arrays contradict each other are refused; odd but sound ones are taken."""

import numpy as np
import pytest
from left_unchanged import X, Y, assert_raises_and_changes_nothing
from scipy import sparse
from sklearn.utils import estimator_checks, get_tags

from sksoftmax import SoftmaxClassifier, SoftmaxClassifierCV


def damaged(of_format, damage):
    """Iris in a sparse format, of which `damage` then changes an array."""
    rows = np.triu(X[:4]) if of_format == "dia" else X
    matrix = sparse.coo_array(rows).asformat(of_format)
    damage(matrix)
    return matrix


def put(name, index, value):
    """What sets an element of an array of a matrix."""

    def damage(matrix):
        getattr(matrix, name)[index] = value

    return damage


def shorten(name):
    """What leaves out the last half of an array of a matrix."""

    def damage(matrix):
        array = getattr(matrix, name)
        setattr(matrix, name, array[: len(array) // 2])

    return damage


DAMAGED = {
    "CSR, a column that is not there": ("csr", put("indices", 5, 4)),
    "CSR, far off": ("csr", put("indices", 5, 2**30)),
    "CSR, below 0": ("csr", put("indices", 5, -1)),
    "CSR, a row ends before it starts": ("csr", put("indptr", 3, 2**20)),
    "CSR, more elements than there are": ("csr", put("indptr", -1, 2**20)),
    "CSR, starts elsewhere": ("csr", put("indptr", 0, 1)),
    "CSR, starts below 0": ("csr", put("indptr", 0, -(2**20))),
    "CSR, few indptr": ("csr", shorten("indptr")),
    "CSR, few indices": ("csr", shorten("indices")),
    "CSR, few values": ("csr", shorten("data")),
    "CSC, a row that is not there": ("csc", put("indices", 5, 2**30)),
    "CSC, indptr": ("csc", put("indptr", 2, -(2**20))),
    "BSR, a column that is not there": ("bsr", put("indices", 5, 2**30)),
    "COO, a column that is not there": ("coo", put("col", 5, 2**30)),
    "COO, a row below 0": ("coo", put("row", 5, -(2**30))),
    "DIA, few offsets": ("dia", shorten("offsets")),
    "LIL, a column that is not there": ("lil", put("rows", 5, [0, 1, 2, 2**30])),
    "LIL, few columns": ("lil", put("rows", 5, [0])),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_sparse_rows(fitted, case):
    matrix = damaged(*DAMAGED[case])
    y = Y[: matrix.shape[0]]
    message = f"X is a damaged {matrix.format.upper()} matrix: "
    for call in (
        lambda clf: clf.fit(matrix, y),
        lambda clf: clf.partial_fit(matrix, y),
        lambda clf: clf.partial_fit(X, Y, X_val=matrix, y_val=y),
        lambda clf: clf.predict(matrix),
        lambda clf: clf.predict_proba(matrix),
        lambda clf: SoftmaxClassifierCV().fit(matrix, y),
    ):
        assert_raises_and_changes_nothing(fitted, message, call)


def test_room_at_the_end_of_sparse_rows_is_no_damage():
    # SciPy leaves such room behind where elements are eliminated.
    rows = sparse.csr_matrix(X)
    roomy = rows.copy()
    roomy.indices = np.append(roomy.indices, [2**30, -5]).astype(np.int32)
    roomy.data = np.append(roomy.data, [np.nan, np.inf])
    clf = SoftmaxClassifier(max_iter=5, tol=None, random_state=0)
    expected = clf.fit(rows, Y).predict_proba(rows)
    np.testing.assert_array_equal(clf.fit(roomy, Y).predict_proba(roomy), expected)


def test_indices_that_are_no_longer_sorted():
    rows = sparse.csr_matrix(X)
    assert rows.has_canonical_format  # which SciPy remembers
    rows.indices[:4], rows.data[:4] = rows.indices[3::-1].copy(), rows.data[3::-1].copy()
    clf = SoftmaxClassifier(max_iter=5, tol=None, random_state=0)
    coef = clf.fit(sparse.csr_matrix(X), Y).coef_
    np.testing.assert_array_equal(clf.fit(rows, Y).coef_, coef)


@pytest.mark.parametrize("estimator", [SoftmaxClassifier, SoftmaxClassifierCV])
@pytest.mark.parametrize("shuffle", [True, "blocks"])
def test_the_tag_tells_whether_sparse_rows_are_taken(estimator, shuffle):
    clf = estimator(shuffle=shuffle)
    assert get_tags(clf).input_tags.sparse == (shuffle is True)
    if hasattr(estimator_checks, "check_estimator_sparse_tag"):  # from scikit-learn 1.7 on
        estimator_checks.check_estimator_sparse_tag(estimator.__name__, clf)
