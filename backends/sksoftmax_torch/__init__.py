"""PyTorch, on whatever device a tensor lies: ``SoftmaxClassifier(backend="torch")``."""

try:
    import torch  # noqa: F401  (whatever of this package is imported, this is said first)
except ImportError as error:
    raise ImportError(
        "backend='torch' needs PyTorch, which could not be imported. Run `pip install torch`."
    ) from error

from sksoftmax_torch.backend import TorchBackend

__all__ = ["TorchBackend"]
