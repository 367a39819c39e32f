"""The benchmark on tables that nobody chose reads what there is, and judges fairly."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.many_tables import Judged, judge, main, tables

N_ROWS = 600


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clone")
    rng = np.random.default_rng(0)
    kind = rng.integers(3, size=N_ROWS)
    frame = pd.DataFrame(
        {
            "rownames": np.arange(N_ROWS),
            "width": kind + rng.standard_normal(N_ROWS),
            "colour": np.array(["red", "blue"])[rng.integers(2, size=N_ROWS)],
            "grade": kind,
            "kind": np.array(["ash", "elm", "oak"])[kind],
            "remark": "a long remark that is the same everywhere " + "." * 20,
        }
    )
    frame.loc[::7, "width"] = np.nan
    (folder / "csv" / "trees").mkdir(parents=True)
    frame.to_csv(folder / "csv" / "trees" / "leaves.csv", index=False)
    frame[:100].to_csv(folder / "csv" / "trees" / "few.csv", index=False)
    frame[["width"]].to_csv(folder / "csv" / "trees" / "numbers.csv", index=False)
    return folder


def test_words_are_the_classes_and_missing_numbers_medians(clone):
    ((name, X, y),) = tables(clone)  # the others have no classes, or few rows
    assert name == "trees/leaves"
    assert X.shape == (N_ROWS, 1 + 2 + 1)  # width, two colours, grade; no row names
    assert np.isfinite(X).all()
    assert set(y) == {0, 1, 2}
    assert (X[:, -1] == y).all()  # rows and classes stay together


def test_a_table_is_judged_by_means_over_splits(clone):
    ((_, X, y),) = tables(clone)
    found = judge(X, y, "numpy")
    assert (found.n_rows, found.n_classes) == (N_ROWS, 3)
    assert (found.accuracies > 0.99).all()
    assert (found.seconds > 0).all()
    assert not found.is_short


@pytest.mark.parametrize(
    ("accuracies", "losses", "is_short"),
    [
        ((0.900, 0.902), (0.50, 0.50), False),
        ((0.900, 0.904), (0.50, 0.50), True),
        ((0.900, 0.900), (0.509, 0.50), False),
        ((0.900, 0.900), (0.511, 0.50), True),
        ((0.900, 0.900), (2.03, 2.00), False),
        ((0.900, 0.800), (0.50, 0.80), False),
    ],
)
def test_what_is_short(accuracies, losses, is_short):
    pairs = (np.array(pair) for pair in (accuracies, losses, (1.0, 1.0)))
    assert Judged(100, 2, *pairs).is_short is is_short


def test_what_is_printed_counts_the_tables(clone, capsys):
    main([str(clone), "--backend", "numpy"])
    printed = capsys.readouterr().out
    assert "short of the peer: 0 of 1" in printed
    assert "fewer than 1,000  1" in printed
