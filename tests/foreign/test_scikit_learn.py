"""scikit-learn's own tests, as they are installed, of what ours takes the place of."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import sklearn
from sklearn.utils.fixes import parse_version

FOLDER = Path(__file__).parent

SUITES = {
    "in_place_of_grid_search": (["model_selection.tests.test_search"], 130),
    "in_place_of_logistic_regression": (
        [
            "ensemble.tests.test_bagging",
            "ensemble.tests.test_stacking",
            "ensemble.tests.test_voting",
            "feature_selection.tests.test_from_model",
            "feature_selection.tests.test_rfe",
            "inspection._plot.tests.test_boundary_decision_display",
            "inspection.tests.test_partial_dependence",
            "inspection.tests.test_permutation_importance",
            "tests.test_calibration",
            "tests.test_pipeline",
        ],
        1100,
    ),
}
"""For each plugin the modules of scikit-learn that it serves, and how many tests must pass."""

EXCLUDED = {
    "test_importance_getter[estimator0-named_steps.logisticregression.coef_]": (
        "counts the weights above their mean, of features whose own units the penalty goes by"
    ),
    "test_bagging_small_max_features": (
        "gives all rows of one class the weight 0, and rows of weight 0 count for nothing here"
    ),
}
"""scikit-learn's tests that ours cannot pass, each with the reason."""


@pytest.mark.slow
@pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.9"),
    reason="held to the tests of scikit-learn 1.9",
)
@pytest.mark.parametrize("plugin", SUITES)
def test_scikit_learns_tests(plugin):
    modules, least = SUITES[plugin]
    if find_spec("sklearn.tests") is None:
        pytest.skip("scikit-learn is installed without its tests")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(FOLDER), *sys.path]),
        "PYTEST_ADDOPTS": "",
        "SCIPY_ARRAY_API": "1",
    }
    settings = ["-c", os.devnull, "-p", "no:cacheprovider"]  # theirs, not ours
    excluded = " and ".join(f"not {name}" for name in EXCLUDED)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *settings, "-p", plugin, "--tb=short",
         "-k", excluded, "--pyargs", *(f"sklearn.{module}" for module in modules)],
        env=environment,
        cwd=FOLDER,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert int(passed[1]) >= least, done.stdout[-2000:]
