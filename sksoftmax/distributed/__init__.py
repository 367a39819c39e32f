"""One model trained by several processes, each on its own rows, over MPI.

``classifier`` is the estimator, ``fit`` its steps over shards of the rows, and ``training`` an
epoch over them. ``shares`` says which rows of a shard are in which batch, ``agreement`` what
all ranks come to together, and ``ranks`` is all that they say to each other: the only module
that knows MPI.
"""

from sksoftmax.distributed.classifier import DistributedSoftmaxClassifier

__all__ = ["DistributedSoftmaxClassifier"]
