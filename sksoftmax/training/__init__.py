"""One fit, from the statistics of its rows to the epoch at which it stops.

``settings`` is what the fit is told, schedule included; ``placed_rows`` has the rows on a
backend, and ``measured_rows`` what they say of the ``coordinates`` in which steps are taken.
``training`` runs one epoch of a model by ``passes`` over the rows, from its ``first_state`` on,
which with many classes ``newton`` finds, and ``stack`` one of several models at once;
``holder`` says who has a model meanwhile. ``epochs`` runs one after another until ``stopping``
ends the ``run`` of each model, which keeps its ``history``; ``plan`` says when iterations take
over. ``objective`` says how far from the optimum a model is, and ``optimum`` goes there, by
``lbfgs`` on ``variables``, of which few have a ``metric``, where rows are many by some
``drawn_rows``. ``checkpoint`` is what a later call or process needs to go on, and ``callbacks``
tells the caller. This package must not know any estimator.
"""
