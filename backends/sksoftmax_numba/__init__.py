"""The fast CPU path: ``SoftmaxClassifier(backend="numba")``, chosen by "auto" if installed."""

try:
    import numba
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] not in ("numba", "llvmlite"):
        raise
    raise ImportError(
        "backend='numba' needs Numba, which is missing. Install it by `pip install numba`."
    ) from error
if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
    raise ImportError(
        "backend='numba' compiles its kernels, which the environment variable"
        " NUMBA_DISABLE_JIT forbids. Unset it, or set backend='numpy'."
    )

from sksoftmax_numba.backend import NumbaBackend

__all__ = ["NumbaBackend"]
