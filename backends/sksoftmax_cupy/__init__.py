"""The GPU's backend: ``SoftmaxClassifier(backend="cupy")``."""

try:
    import cupy  # noqa: F401  (whatever of this package is imported, this is said first)
except ImportError as error:
    raise ImportError(
        "backend='cupy' needs CuPy, which could not be imported. For CUDA 13 run"
        ' `pip install "cupy-cuda13x[ctk]"`, for CUDA 12 `pip install "cupy-cuda12x[ctk]"`.'
    ) from error

from sksoftmax_cupy.backend import CupyBackend

__all__ = ["CupyBackend"]
