"""Pictures of a fitted model: its loss curve, and its coefficients as images or bars.

Displays follow scikit-learn's conventions: ``loss_curve`` and ``coefficients`` have one each.
``drawing`` has what both need: the model, and matplotlib, which is imported only to draw.
Displays read fitted attributes; this package must not know how these came about.
"""

from sksoftmax.inspection.coefficients import CoefficientDisplay
from sksoftmax.inspection.loss_curve import LossCurveDisplay

__all__ = ["CoefficientDisplay", "LossCurveDisplay"]
