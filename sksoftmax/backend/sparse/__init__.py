"""Training on CSR rows at the cost of the elements that they store, or of the weights.

``base`` is the minibatch loop that touches a batch's features alone. ``momentum`` and
``distance`` are its two kinds, by the rule that sizes the steps, and ``choice`` says which one
a problem asks for. What a rule does meanwhile to the features that a batch does not hold is in
``momentum_laws`` and ``distance_law``.
``dense_updates`` changes all weights in each step, where these are few. This package must not
know which array namespace it runs on.
"""
