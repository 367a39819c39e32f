"""Softmax regression by many libraries, side by side: run ``python -m benchmarks.peers``.

``contestants`` says who runs with which settings, ``works`` what each of them does and what is
timed, ``processes`` runs one measurement a process, and ``report`` turns numbers into tables
and plots.
"""
