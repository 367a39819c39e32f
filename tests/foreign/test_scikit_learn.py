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

EXCLUDED: dict[str, str] = {}
"""Names of scikit-learn's tests that ours cannot pass, each with the reason."""


@pytest.mark.slow
@pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.9"),
    reason="searches are held to scikit-learn 1.9",
)
def test_scikit_learns_tests_of_searches():
    if find_spec("sklearn.model_selection.tests") is None:
        pytest.skip("scikit-learn is installed without its tests")
    search_path = os.pathsep.join([str(FOLDER), *sys.path])
    environment = {
        **os.environ,
        "PYTHONPATH": search_path,
        "PYTEST_ADDOPTS": "",
        "SCIPY_ARRAY_API": "1",
    }
    settings = ["-c", os.devnull, "-p", "no:cacheprovider"]  # theirs, not ours
    arguments = ["-q", *settings, "-p", "in_place_of_grid_search", "--tb=short"]
    if EXCLUDED:
        arguments += ["-k", " and ".join(f"not {name}" for name in EXCLUDED)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, "--pyargs",
         "sklearn.model_selection.tests.test_search"],
        env=environment,
        cwd=FOLDER,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert int(passed[1]) > 130, done.stdout[-2000:]
