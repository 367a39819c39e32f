"""What doctests leave out: modules whose optional dependencies are not installed."""

from importlib.util import find_spec

collect_ignore = []
if find_spec("skl2onnx") is None or find_spec("onnxruntime") is None:
    collect_ignore.append("sksoftmax/onnx.py")
