"""Fixtures of several of these files: a model that bad input may not change, small blocks."""

import pytest
from left_unchanged import X, Y
from sliced import X as DIGITS

from sksoftmax import SoftmaxClassifier
from sksoftmax.data import order, stored


@pytest.fixture
def fitted():
    return SoftmaxClassifier(random_state=0, max_iter=5, tol=None).fit(X, Y)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of about 60 rows of digits, and groups of 4."""
    monkeypatch.setattr(stored, "BLOCK_BYTES", 60 * DIGITS[0].nbytes)
    monkeypatch.setattr(order, "GROUP_BYTES", 4 * 60 * DIGITS[0].nbytes)
