"""The fast CPU path: ``SoftmaxClassifier(backend="numba")``, chosen by "auto" if installed."""

try:
    from sksoftmax_numba.backend import NumbaBackend
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] not in ("numba", "llvmlite"):
        raise
    raise ImportError(
        "backend='numba' needs Numba, which is missing. Install it by `pip install numba`."
    ) from error

__all__ = ["NumbaBackend"]
