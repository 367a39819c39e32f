"""The loop over CuPy with cuBLAS for the products and one kernel for all between them.

For batches so large, or classes so many, that the products are most of the work. It knows how
the kernel is called, and not what runs it.
"""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from sksoftmax.backend import Array, Problem, State
from sksoftmax_cupy.module import Launch, Module
from sksoftmax_cupy.plan import ROW_TILE, ProductPlan
from sksoftmax_cupy.trainer import CupyTrainer


class ProductTrainer(CupyTrainer):
    """ArrayTrainer over CuPy whose softmax is one launch: see kernels/residual.cu.

    Parameters
    ----------
    problem : Problem
        What is trained, of one model; ``plan.unsupported`` found nothing in it.
    state : State
        Where it starts.
    plan : ProductPlan
        How the kernel's work is divided.
    module : Module
        The compiled kernel.
    xp : module, default=cupy
        The namespace of the arrays.
    """

    def __init__(
        self, problem: Problem, state: State, plan: ProductPlan, module: Module, xp: Any = cupy
    ):
        super().__init__(problem, state, xp=xp)
        self._plan = plan
        self._module = module

    def _residual(self, logits: Array, targets: Array) -> tuple[Array, Array]:
        plan, (_, n_classes, n_rows) = self._plan, logits.shape
        scores = self.xp.ascontiguousarray(logits)
        losses = self.xp.empty((1, n_rows), self.problem.dtype)
        arguments = (np.int32(n_classes), np.int32(n_rows), targets, scores, losses)
        grid = -(-n_rows // ROW_TILE)
        self._module.launch(
            Launch("softmax_residuals", grid, plan.threads, plan.shared_bytes, arguments)
        )
        return scores, losses
