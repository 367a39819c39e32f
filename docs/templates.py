"""Draw the picture of the README: ``SKSOFTMAX_MNIST=... python docs/templates.py``.

What a fit on MNIST holds for each digit, as ink on no paper: it looks right on a light page
and on a dark one.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgba

from sksoftmax import SoftmaxClassifier

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "examples"))
from quickstart import load_mnist  # noqa: E402

FOR, AGAINST, LABEL = "#d6403a", "#3c82d6", "#808080"


def ink(coef: np.ndarray) -> np.ndarray:
    """Return colours of positive and of negative coefficients, the more opaque the larger."""
    image = np.empty((*coef.shape, 4))
    image[coef >= 0] = to_rgba(FOR)
    image[coef < 0] = to_rgba(AGAINST)
    image[..., 3] = np.clip(abs(coef) / np.quantile(abs(coef), 0.995), 0, 1)
    return image


def main() -> None:
    """Fit, draw, and say what was fitted."""
    X_train, y_train, X_test, y_test = load_mnist()
    clf = SoftmaxClassifier(alpha=0.1, random_state=0).fit(X_train, y_train)
    print(f"{clf.score(X_test, y_test):.1%} of {len(y_test)} test images, {clf.n_iter_} epochs")
    images = ink((clf.coef_ * clf.scale_).reshape(10, 28, 28))
    figure, axes = plt.subplots(1, 10, figsize=(10, 1.3), layout="constrained")
    for label, image, ax in zip(clf.classes_, images, axes, strict=True):
        ax.imshow(image)
        ax.set_title(label, color=LABEL)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_color(LABEL)
    figure.savefig(DOCS / "_static" / "templates.png", dpi=160, transparent=True)


if __name__ == "__main__":
    main()
