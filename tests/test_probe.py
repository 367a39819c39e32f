"""The benchmark of linear probes runs, on small data, and writes what it says."""

import json

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from benchmarks.probe import main, planted


def test_drawn_classes_can_be_told_but_for_some():
    X, y, X_test, y_test = planted(2000, 20, 5, seed=0)
    assert X.shape == (2000, 20)
    assert X_test.shape == (400, 20)
    centres = np.stack([X[y == label].mean(axis=0) for label in range(5)])
    nearest = ((X_test[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert 0.5 < np.mean(nearest == y_test) < 1


@pytest.mark.parametrize("of_the_user", [False, True])
def test_a_run_writes_the_numbers_and_the_picture(of_the_user, tmp_path, capsys):
    size = ["--rows", "500", "--features", "12", "--classes", "4"]
    if of_the_user:
        X, y, _, _ = planted(500, 12, 4, seed=0)
        np.save(tmp_path / "X.npy", X.astype(np.float16))
        np.save(tmp_path / "y.npy", np.array(["a", "b", "c", "d"])[y])
        size = ["--data", str(tmp_path / "X.npy"), str(tmp_path / "y.npy")]
    main([*size, "--lengths", "1", "2", "4", "8", "--runs", "1", "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    written = json.loads((tmp_path / "probe.json").read_text())
    assert written["shape"] == [400 if of_the_user else 500, 12, 4]
    for name, first in (("SoftmaxClassifier, numpy", 1), ("LogisticRegression", 4)):
        points = written["measured"][name]["points"]
        assert [point["length"] for point in points[:4]] == [first * n for n in (1, 2, 4, 8)]
        assert all(0.25 < point["accuracy"] <= 1 < 1e3 * point["seconds"] for point in points)
        assert f"{100 * points[-1]['accuracy']:.2f}" in printed
    summed_up = (tmp_path / "probe.inc").read_text().splitlines()
    assert summed_up[0].endswith(f" {written['shape'][0]} x 12, 4 classes")
    best = max(p["accuracy"] for found in written["measured"].values() for p in found["points"])
    points = written["measured"]["SoftmaxClassifier, numpy"]["points"]
    soonest = next(point for point in points[:4] if point["accuracy"] >= best - 0.01)
    assert f'"{soonest["seconds"]:.1f}", "{soonest["length"]}"' in summed_up[4]
    assert (tmp_path / "probe.png").stat().st_size > 1000
