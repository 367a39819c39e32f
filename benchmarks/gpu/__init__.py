"""Epochs on a GPU: every path of ours beside other libraries. Run ``python -m benchmarks.gpu``.

It needs CuPy and a GPU; PyTorch and JAX where they are to be compared with. Whatever cannot run
is listed with its reason.
"""

import os
import sys
from pathlib import Path

# A clone will do: nothing of it has to be installed.
sys.path.append(str(Path(__file__).parents[2] / "backends"))
# Else JAX takes most of the device's memory for itself when it starts.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
# scikit-learn asks for it before it takes arrays of a device.
os.environ.setdefault("SCIPY_ARRAY_API", "1")
