"""Packages import downward only, backends the seam alone, and public paths stay."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

PUBLIC = [
    "from sksoftmax import SoftmaxClassifier, SoftmaxClassifierCV, SoftmaxSearchCV",
    "from sksoftmax import BackendInfo, get_backend, list_backends",
    "from sksoftmax.backend import ArrayTrainer, Backend, Problem, Rule, State, Trainer",
    "from sksoftmax.inspection import CoefficientDisplay, LossCurveDisplay",
    "from sksoftmax.model_selection import SoftmaxSearchCV",
    "from sksoftmax.testing import check_backend",
]


def test_imports_keep_the_contracts():
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr


IMPORT_EACH_ANEW = """
import sys
for statement in sys.argv[1:]:
    for name in [name for name in sys.modules if name.startswith("sksoftmax")]:
        del sys.modules[name]
    try:
        exec(statement)
    except Exception as error:
        print(f"{statement}: {error!r}")
"""


def test_public_paths_are_importable_anywhere_and_each_as_the_first(tmp_path):
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT_EACH_ANEW, *PUBLIC],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stdout) == (0, ""), run.stderr


def test_dir_shows_what_is_public():
    code = "import sksoftmax, sksoftmax.training.stack; print(*dir(sksoftmax))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [
        "BackendInfo", "SoftmaxClassifier", "SoftmaxClassifierCV", "SoftmaxSearchCV",
        "__version__", "backend", "distributed", "get_backend", "inspection", "list_backends",
        "model_selection", "onnx", "testing",
    ]  # fmt: skip


def private_names(path):
    """What a module imports of scikit-learn that scikit-learn does not document."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sklearn"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name for name in names if "._" in name)


def test_one_module_imports_what_is_private_to_scikit_learn():
    paths = [*ROOT.glob("sksoftmax/**/*.py"), *ROOT.glob("backends/**/*.py")]
    found = {path.name for path in paths if list(private_names(path))}
    assert found == {"_scikit_learn.py"}
