"""One fit, from the statistics of its rows to the epoch at which it stops.

``settings`` is what the fit is told, ``coordinates`` and ``schedules`` say how long its steps
are, ``training`` runs one epoch on a backend, ``stack`` one of several models at once, and
``epochs`` one after another until ``stopping`` ends them. ``objective`` says how far from the
optimum a model is, and ``optimum`` goes there. ``holder`` is who has the model in the meantime,
``checkpoint`` what a later call or process needs to go on, and ``callbacks`` tells the caller.
This package must not know any estimator.
"""
