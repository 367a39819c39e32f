"""Rows, labels and weights: what they are, where they lie and in which order they are read.

``arrays`` knows libraries and devices, ``rows`` dense and sparse rows in memory, ``stored``
rows in a file, ``targets`` labels and weights, ``holdout`` rows that are kept for validation,
and ``order`` the order of an epoch. This package must not know any model.
"""
