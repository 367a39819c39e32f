"""What doctests leave out: modules whose optional dependencies are not installed."""

from importlib.util import find_spec

collect_ignore = []
if find_spec("skl2onnx") is None or find_spec("onnxruntime") is None:
    collect_ignore.append("sksoftmax/onnx.py")
if find_spec("cupy") is None:
    collect_ignore.append("backends/sksoftmax_cupy")
if find_spec("mpi4py") is None:
    collect_ignore.append("sksoftmax/distributed/classifier.py")  # the others need no MPI
if find_spec("numba") is None:
    collect_ignore.append("backends/sksoftmax_numba")
