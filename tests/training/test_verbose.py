"""What verbose prints: a header, one line an epoch in columns, and why the fit has ended."""

import re

import pytest
from sklearn.datasets import load_digits

from sksoftmax import SoftmaxClassifier

X, Y = load_digits(return_X_y=True)
NUMBER = r" *(\d+\.\d+)"


def lines_of(capsys, **parameters):
    clf = SoftmaxClassifier(max_iter=12, tol=None, random_state=0, **parameters).fit(X, Y)
    return clf, capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("verbose", [1, True, 2])
def test_one_aligned_line_an_epoch(capsys, verbose, early_stopping):
    clf, lines = lines_of(capsys, verbose=verbose, early_stopping=early_stopping)
    assert lines.pop() == "max_iter=12 reached"
    assert lines.pop(0).startswith("1,617 rows" if early_stopping else "1,797 rows")
    pattern = rf"epoch +(\d+)   loss{NUMBER}"
    pattern += rf"   validation{NUMBER}" if early_stopping else ""
    pattern += rf"   {NUMBER} s"
    pattern += rf"   backend{NUMBER} s" if verbose == 2 else ""
    rows = [[float(text) for text in re.fullmatch(pattern, line).groups()] for line in lines]
    assert [row[0] for row in rows] == list(range(1, 13))
    assert [row[1] for row in rows] == pytest.approx(clf.loss_curve_, abs=1e-6)
    if early_stopping:
        assert [row[2] for row in rows] == pytest.approx(clf.validation_loss_curve_, abs=1e-6)
    if verbose == 2:
        assert all(row[-1] <= row[-2] for row in rows)
    assert len({len(line) for line in lines}) == 1


def test_the_last_line_says_why_it_stopped(capsys):
    clf = SoftmaxClassifier(optimizer="sgd", tol=1e-2, random_state=0, verbose=1).fit(X, Y)
    _, *lines, last = capsys.readouterr().out.splitlines()
    assert len(lines) == clf.n_iter_
    window = max(2, clf.n_iter_ // 2)
    assert last.startswith(f"stopped: the last {window} epochs have improved the loss by")
    assert "tol=0.01" in last


def test_the_header_says_what_auto_stands_for(capsys):
    SoftmaxClassifier(max_iter=1, tol=None, backend="numpy", verbose=1).fit(X, Y)
    assert capsys.readouterr().out.splitlines()[0] == (
        "1,797 rows, 64 features, 10 classes, float64; alpha=0.000556, batch_size=64,"
        " backend=numpy"
    )


def test_a_stream_has_one_header(capsys):
    stream = SoftmaxClassifier(random_state=0, verbose=1)
    for _ in range(3):
        stream.partial_fit(X, Y, classes=range(10))
    lines = capsys.readouterr().out.splitlines()
    assert [line.startswith("1,797 rows") for line in lines] == [True, False, False, False]


def test_silence_by_default(capsys):
    _, lines = lines_of(capsys)
    assert lines == []
