"""What the tests of steps over sparse rows share: a problem, and the steps to compare with."""

from dataclasses import replace

import numpy as np
from numpy.testing import assert_allclose
from scipy import sparse

from sksoftmax.backend.array_trainer import ArrayTrainer
from sksoftmax.backend.problem import Problem, Rule


def own_steps(dense, dtype="float64", **changes):
    """A problem of the rule that finds its own steps, over centred CSR rows."""
    rng = np.random.default_rng(2)
    n_features = dense.shape[1]
    deviation = dense.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1)
    step_scale = np.where(
        deviation > 0, scale * 2 ** (rng.integers(0, 6, n_features) / 4), np.inf
    )
    scores = (dense - dense.mean(axis=0)) / scale @ rng.standard_normal((n_features, 3))
    problem = Problem(
        X=sparse.csr_array(dense.astype(dtype)),
        y=(scores + rng.gumbel(size=scores.shape)).argmax(axis=1).astype(np.int32),
        weights=None, n_classes=3, dtype=np.dtype(dtype), batch_size=4, l2=np.full(1, 0.01),
        l1=np.zeros(1), penalty_share=1.0, average=True,
        fit_intercept=True, means=dense.mean(axis=0), scales=scale,
        step_scales=step_scale, intercept_scale=0.6, curvature=np.full(1, 2.0),
        rule=Rule("distance-over-gradients"),
    )  # fmt: skip
    return replace(problem, **changes)


def own_steps_match_dense_ones(make, problem, start, tolerance, n_epochs=3):
    """Run both in two segments an epoch, and compare all that comes back."""
    exact = replace(problem, X=problem.X.toarray().astype(float), dtype=np.dtype(float))
    lazy, reference = make(problem, start), ArrayTrainer(exact, start)
    rng = np.random.default_rng(3)
    n_rows = problem.X.shape[0]
    half = n_rows // 2 // problem.batch_size * problem.batch_size
    scale = np.append(np.where(np.isfinite(problem.step_scales), problem.step_scales, 1), 1)
    for _ in range(n_epochs):
        order = rng.permutation(n_rows)
        for part in (order[:half], order[half:]):
            factors = rng.uniform(0.5, 1, (1, -(-len(part) // problem.batch_size)))
            loss, expected = (t.run_epoch(part, factors) for t in (lazy, reference))
            assert_allclose(loss, expected, rtol=tolerance)
            assert_allclose(lazy.penalty(), reference.penalty(), rtol=10 * tolerance)
            state, exact_state = lazy.state(), reference.state()
            for name in ("parameters", "average"):
                got, wanted = (getattr(s, name) * scale for s in (state, exact_state))
                assert_allclose(got, wanted, atol=tolerance * np.abs(wanted).max(), rtol=0)
            for name, norm in exact_state.norms.items():
                assert_allclose(state.norms[name], norm, rtol=tolerance)
    return lazy
