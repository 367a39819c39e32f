"""
A linear probe of embeddings
============================

How much of the label can be read off frozen features? The embeddings are drawn here, 30 classes
in 128 dimensions that share their larger directions, and lie in a float16 file, as an encoder
would leave them. One call sweeps the penalty, and names the best one.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import recall_score
from sklearn.model_selection import ShuffleSplit

from sksoftmax import SoftmaxClassifierCV

rng = np.random.default_rng(0)
spectrum = np.linspace(3, 0.3, 128)  # as of features of a network
centres = 0.55 * rng.normal(size=(30, 128))
labels = rng.integers(30, size=5000)
embeddings = spectrum * (centres[labels] + 2 * rng.normal(size=(5000, 128)))

folder = TemporaryDirectory()
np.save(Path(folder.name) / "embeddings.npy", embeddings.astype(np.float16))
X = np.load(Path(folder.name) / "embeddings.npy", mmap_mode="r")
X_train, X_test, y_train, y_test = X[:4000], X[4000:], labels[:4000], labels[4000:]

split = ShuffleSplit(n_splits=1, test_size=0.2, random_state=0)
probe = SoftmaxClassifierCV(alphas=np.logspace(-4, 0, 9), cv=split, random_state=0)
probe.fit(X_train, y_train)
print(f"alpha={probe.alpha_:.3g}: {probe.score(X_test, y_test):.1%} of the test rows")

# %%
# All strengths were trained together on the rows of the split, and the best one once more on
# all. Too weak a penalty fits noise, and too strong a one tells no class from another.

figure, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
scores = 100 * probe.scores_[0, :, 0, 0]
ax.semilogx(probe.alphas_, scores, marker="o")
ax.semilogx(probe.alpha_, scores.max(), marker="o", color="tab:red", label="chosen")
ax.set(xlabel="alpha", ylabel="accuracy on the split, %")
ax.legend()
plt.show()

# %%
# Accuracy by class is the recall: which classes do the embeddings not tell?

by_class = 100 * recall_score(y_test, probe.predict(X_test), average=None)
order = np.argsort(by_class)
figure, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
ax.bar(range(30), by_class[order])
ax.set_xticks(range(30), probe.classes_[order], rotation=90, fontsize="small")
ax.set(xlabel="class", ylabel="test accuracy, %")
plt.show()

del X, X_train, X_test
folder.cleanup()
