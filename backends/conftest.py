"""Which backends pytest may import: those whose libraries are installed."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("cupy") else ["sksoftmax_cupy"]
