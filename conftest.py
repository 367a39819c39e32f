"""What doctests leave out, and which tests need the libraries of the ecosystem.

Modules are left out whose optional dependencies are not installed.
"""

from importlib.util import find_spec
from pathlib import Path

import pytest

collect_ignore = []
if find_spec("skl2onnx") is None or find_spec("onnxruntime") is None:
    collect_ignore.append("sksoftmax/onnx.py")
if find_spec("cupy") is None:
    collect_ignore.append("backends/sksoftmax_cupy")
if find_spec("mpi4py") is None:
    collect_ignore.append("sksoftmax/distributed/classifier.py")  # the others need no MPI
if find_spec("numba") is None:
    collect_ignore.append("backends/sksoftmax_numba")
if find_spec("torch") is None:
    collect_ignore.append("backends/sksoftmax_torch")

ROOT = Path(__file__).parent
ECOSYSTEM = (
    "tests/ecosystem",
    "tests/backends/test_torch.py",
    "docs/deployment.rst",
    "docs/guide/larger.rst",
    "docs/guide/probes.rst",
)


def pytest_collection_modifyitems(items):
    """Mark what needs the libraries of the ecosystem, or PyTorch."""
    for item in items:
        if any(item.path.is_relative_to(ROOT / name) for name in ECOSYSTEM):
            item.add_marker(pytest.mark.ecosystem)
