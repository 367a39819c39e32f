"""What the benchmark of the road to the optimum writes, from fits that are given."""

from benchmarks.optimum import NEVER, Run, restructured, table, times_of

RUNS = [
    Run("wine", "ours", 1e-2, 0.2, 5e-3),
    Run("wine", "ours", 1e-4, 0.1, 5e-5),  # a stricter tolerance may be the faster fit
    Run("wine", "peer", 1e-2, 3.0, 1e-1),
]


def test_the_fastest_fit_that_is_near_enough_counts():
    assert times_of(RUNS, "wine", "ours") == [0.1, 0.1, None]
    assert times_of(RUNS, "wine", "peer") == [None, None, None]


def test_the_table_says_where_no_fit_was_near_enough():
    rows = table(RUNS, {"wine": "178 x 13, 3"})
    assert rows[1] == ["wine", "178 x 13, 3", f"100 / 100 / {NEVER}", NEVER]
    assert f'"wine", "178 x 13, 3", "100 / 100 / {NEVER}", "{NEVER}"' in restructured(rows)
