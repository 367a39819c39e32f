"""
A stream, learnt chunk by chunk
===============================

Rows that never fit in memory together come in chunks; each is predicted first and learnt from
afterwards. Halfway through, a sensor is replaced and counts in other units.
"""

import matplotlib.pyplot as plt
import numpy as np

from sksoftmax import SoftmaxClassifier

CLASSES = np.arange(6)
centres = np.random.default_rng(0).normal(scale=1.1, size=(len(CLASSES), 12))


def stream(n_chunks, size, seed):
    """Yield chunks of rows and labels; from the middle on one feature is in other units."""
    rng = np.random.default_rng(seed)
    units = np.geomspace(1e-3, 1e3, 12)
    for i in range(n_chunks):
        if i == n_chunks // 2:
            units[0] *= 1000
        y = rng.choice(CLASSES, size)
        yield (centres[y] + rng.standard_normal((size, 12))) * units, y


# %%
# The features differ by a factor of a million, and nobody has seen the data before: means,
# scales and the step size follow the chunks. The same 12,000 rows in chunks of three sizes:

figure, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
for size in (20, 100, 500):
    clf = SoftmaxClassifier(random_state=0)
    right = []
    for i, (X, y) in enumerate(stream(12_000 // size, size, seed=1)):
        if i > 0:
            right.append(clf.score(X, y))
        clf.partial_fit(X, y, classes=CLASSES)
    seen = size * np.arange(1, len(right) + 1)
    window = 1000 // size
    smooth = np.convolve(right, np.ones(window) / window, mode="valid")
    ax.plot(seen[window - 1 :], smooth, label=f"chunks of {size}")
    print(f"chunks of {size:3}: {np.mean(right):.1%} right over the whole stream")
ax.axvline(6000, color="gray", linewidth=1)
ax.annotate("other units", (6000, 0.3), xytext=(5, 0), textcoords="offset points")
ax.set(xlabel="rows seen", ylabel="accuracy before learning, last 1,000 rows", ylim=(0, 1))
ax.legend(loc="lower right")
plt.show()
