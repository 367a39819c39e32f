"""Rows, labels and weights: what they are, where they lie and in which order they are read.

``checks`` has scikit-learn validate what the caller passed, and ``sparse_format`` finds damaged
index arrays. ``arrays`` knows libraries and devices, ``rows`` dense and sparse rows in memory,
``occurring`` the few features of huge sparse ones, ``stored`` rows in a file. ``targets`` knows
labels and weights, ``holdout`` rows that are not trained on, and ``order`` the order of an
epoch. This package must not know any model.
"""
