"""Rows, labels and weights: what they are, where they lie and in which order they are read.

``arrays`` knows libraries and devices, ``rows`` dense and sparse rows in memory, ``stored``
rows in a file, and has scikit-learn check both; ``conversion`` makes numbers of other dtypes,
and ``sparse_format`` finds damaged index arrays. ``targets`` knows labels and weights,
``holdout`` rows that are kept for validation, and ``order`` the order of an epoch. This package
must not know any model.
"""
