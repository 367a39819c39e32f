"""
A stream, learnt chunk by chunk
===============================

Rows that never fit in memory together come in chunks; each is predicted first and learnt from
afterwards. The features differ by a factor of a million, and nobody has seen the data before:
means, scales and the step size follow the chunks.
"""

import matplotlib.pyplot as plt
import numpy as np

from sksoftmax import SoftmaxClassifier

CLASSES = np.arange(6)
N_ROWS = 12_000
centres = np.random.default_rng(0).normal(scale=1.1, size=(len(CLASSES), 12))
units = np.geomspace(1e-3, 1e3, 12)


def stream(size):
    """Yield chunks of rows and labels: the same rows, however they are cut."""
    rng = np.random.default_rng(1)
    y = rng.choice(CLASSES, N_ROWS)
    X = (centres[y] + rng.standard_normal((N_ROWS, 12))) * units
    for start in range(0, N_ROWS, size):
        yield X[start : start + size], y[start : start + size]


def follow(chunks, clf):
    """Return rows seen and accuracy of each chunk before it is learnt, and learn it."""
    seen, right, total = [], [], 0
    for X, y in chunks:
        if total:
            seen.append(total)
            right.append(clf.score(X, y))
        clf.partial_fit(X, y, classes=CLASSES)
        total += len(X)
    return np.array(seen), np.array(right)


def draw(ax, seen, right, **style):
    """Draw the accuracy over the last 600 rows."""
    window = max(1, 600 * len(seen) // N_ROWS)
    smooth = np.convolve(right, np.ones(window) / window, mode="valid")
    ax.plot(seen[window - 1 :], smooth, **style)


# %%
# The same 12,000 rows in chunks of four sizes:

figure, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
for size in (5, 20, 100, 500):
    seen, right = follow(stream(size), SoftmaxClassifier(random_state=0))
    print(f"chunks of {size:3}: {right.mean():.1%} right over the whole stream")
    draw(ax, seen, right, label=f"chunks of {size}")
ax.set(xlabel="rows seen", ylabel="accuracy before learning, last 600 rows", ylim=(0.85, 1))
ax.legend(loc="lower right")
plt.show()

# %%
# All chunks count alike in means and scales, so the model does not follow a stream whose units
# change. Here one sensor counts in thousandths from the middle on; then a new model is better
# than an old one:


def with_other_units():
    """Yield chunks of 100, with a feature a thousand times larger from the middle on."""
    for i, (X, y) in enumerate(stream(100)):
        factor = np.where(np.arange(12) == 0, 1000 if i >= 60 else 1, 1)
        yield X * factor, y


seen, right = follow(with_other_units(), SoftmaxClassifier(random_state=0))
chunks = list(with_other_units())[60:]
seen_anew, right_anew = follow(chunks, SoftmaxClassifier(random_state=0))
figure, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
draw(ax, seen, right, label="one model")
draw(ax, seen_anew + 6000, right_anew, label="a new one from the change on")
ax.axvline(6000, color="gray", linewidth=1)
ax.set(xlabel="rows seen", ylabel="accuracy before learning, last 600 rows", ylim=(0.5, 1))
ax.legend(loc="lower left")
plt.show()
