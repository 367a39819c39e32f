"""The pages' snippets run as doctests, each page in an empty folder that it may fill."""

import warnings
from importlib.util import find_spec

import pytest

collect_ignore_glob = ["*.py", "_*", "gallery"]
if any(find_spec(name) is None for name in ("skl2onnx", "skops", "mlflow", "shap", "optuna")):
    collect_ignore_glob.append("deployment.rst")
if any(find_spec(name) is None for name in ("skl2onnx", "torch")):
    collect_ignore_glob.append("guide/probes.rst")
if find_spec("mpi4py") is None:
    collect_ignore_glob.append("guide/distributed.rst")
if any(find_spec(name) is None for name in ("dask", "distributed", "h5py")):
    collect_ignore_glob.append("guide/larger.rst")

FOREIGN = [
    "The set_(bad|over|under) function will be deprecated",  # shap, of matplotlib
    "The ``noload`` loader strategy is deprecated",  # mlflow, of SQLAlchemy
    ".*Any type hint is inferred as AnyType",  # mlflow, of itself
]
"""Warnings that a tool gives of its own code, which no page can help."""


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """Run in a folder that is thrown away."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    for message in FOREIGN:
        warnings.filterwarnings("ignore", message)
