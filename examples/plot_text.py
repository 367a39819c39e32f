"""
Sparse text: who wrote this docstring?
======================================

Docstrings of four installed packages, cut into paragraphs, and the package to be told from the
words. Rows of word counts are nearly all zeros; they stay sparse, and a step costs the words of
its batch, however many there are in the vocabulary.
"""

import importlib
import inspect
import re

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GroupKFold, GroupShuffleSplit
from sklearn.pipeline import make_pipeline

from sksoftmax import SoftmaxClassifier
from sksoftmax.model_selection import SoftmaxSearchCV

MODULES = {
    "numpy": ["numpy", "numpy.linalg", "numpy.random", "numpy.fft", "numpy.ma"],
    "scipy": ["scipy.optimize", "scipy.stats", "scipy.signal", "scipy.sparse"],
    "sklearn": ["sklearn.linear_model", "sklearn.metrics", "sklearn.ensemble"],
    "pandas": ["pandas"],
}
OWN_NAMES = r"\b(numpy|np|scipy|sklearn|scikit|learn|pandas|pd|sp|ndarrays?)\b"


def paragraphs():
    """Yield text, package, and the object that it describes."""
    for package, names in MODULES.items():
        for name in names:
            module = importlib.import_module(name)
            for attribute in sorted(set(dir(module))):
                thing = getattr(module, attribute) if attribute[0] != "_" else None
                if not (inspect.isclass(thing) or callable(thing)):
                    continue
                for text in re.split(r"\n\s*\n", inspect.getdoc(thing) or ""):
                    if len(text.split()) >= 12 and ">>>" not in text:
                        yield re.sub(OWN_NAMES, " ", text.lower()), package, attribute


texts, y, objects = map(np.array, zip(*paragraphs(), strict=True))
print({package: int((y == package).sum()) for package in MODULES})

# %%
# All paragraphs of one function are on the same side of the split, since they share its words.
# By tf-idf all words have one unit, in which their coefficients are penalised and compared, so
# that ``standardize=False`` is better, with a weaker penalty (:ref:`text`). How weak, folds of
# the training paragraphs say:

train, test = next(GroupShuffleSplit(1, test_size=0.3, random_state=0).split(texts, y, objects))
model = make_pipeline(
    TfidfVectorizer(token_pattern=r"[a-z]{2,}", sublinear_tf=True, min_df=2),
    SoftmaxClassifier(standardize=False, class_weight="balanced", random_state=0),
)
alphas = {"softmaxclassifier__alpha": [1e-6, 1e-5, 1e-4, 1e-3]}
search = SoftmaxSearchCV(model, alphas, cv=GroupKFold(5))
search.fit(texts[train], y[train], groups=objects[train])
model = search.best_estimator_
words, clf = model[0].get_feature_names_out(), model[-1]
print(f"{len(train)} paragraphs, {len(words)} words, {clf.n_iter_} epochs, alpha={clf.alpha}")
print(f"{model.score(texts[test], y[test]):.1%} of {len(test)} other paragraphs")

# %%
# The words that speak most for each package:

figure, axes = plt.subplots(2, 2, figsize=(6.4, 6.4), layout="constrained")
for ax, package, row in zip(axes.flat, clf.classes_, clf.coef_, strict=True):
    top = np.argsort(row)[-12:]
    ax.barh(words[top], row[top], color="C0")
    ax.set(title=package)
    ax.spines[["top", "right"]].set_visible(False)
figure.supxlabel("coefficient", fontsize="medium")
plt.show()
