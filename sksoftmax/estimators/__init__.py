"""SoftmaxClassifier: parameters and rows in, fitted attributes and predictions out.

``classifier`` has the parameters, ``inputs`` checks what a fit is given, ``fit`` has its steps,
and ``ending`` words for how it ended. ``prediction`` predicts from fitted attributes alone, and
``optimality`` says how far they are from the optimum. ``attributes`` and ``persistence`` are
what a fit leaves, on the estimator and in a pickle, ``final`` finds the model within searches
and Pipelines, and ``constraints`` says which numbers a parameter may be. This package must not
know how a step is taken.
"""
