"""The conformance suite, which anybody's backend can run: ``check_backend``.

``cases`` has the problems, ``reference`` what a backend is compared with on them, and
``conformance`` compares. This package must not know any backend.
"""

from sksoftmax.testing.cases import AUTOMATIC, CASES
from sksoftmax.testing.conformance import CaseReport, check_backend

__all__ = ["AUTOMATIC", "CASES", "CaseReport", "check_backend"]
