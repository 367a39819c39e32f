"""The GPU's backend: ``SoftmaxClassifier(backend="cupy")``."""

try:
    import cupy  # noqa: F401  (whatever of this package is imported, this is said first)
except ImportError as error:
    raise ImportError(
        "backend='cupy' needs CuPy, which could not be imported. For CUDA 13 run pip install"
        ' "sksoftmax[cuda13x]", for CUDA 12 pip install "sksoftmax[cuda12x]".'
    ) from error

from sksoftmax_cupy.backend import CupyBackend

__all__ = ["CupyBackend"]
