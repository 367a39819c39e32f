"""
A Pipeline in a grid search
===========================

How many principal components of the digits, and how strong a penalty? The classifier's
parameters are searched like any other's.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline

from sksoftmax import SoftmaxClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

pipeline = Pipeline(
    [("pca", PCA(random_state=0)), ("softmax", SoftmaxClassifier(random_state=0))]
)
grid = {
    "pca__n_components": [5, 10, 20, 30, 40, 50],
    "softmax__alpha": [1e-4, 1e-3, 1e-2, 1e-1, 1],
}
search = GridSearchCV(pipeline, grid, cv=4).fit(X_train, y_train)
print(search.best_params_)
print(
    f"{search.best_score_:.1%} in cross-validation, {search.score(X_test, y_test):.1%} on test"
)

# %%
# Components of small variance are weighed like the others, since the classifier standardises
# within its steps; the penalty then decides how far to trust them.

scores = search.cv_results_["mean_test_score"].reshape(6, 5)
figure, ax = plt.subplots(figsize=(6.4, 5), layout="constrained")
image = ax.imshow(scores, cmap="viridis", aspect="auto")
for (i, j), score in zip(
    [(i, j) for i in range(6) for j in range(5)], scores.ravel(), strict=True
):
    shade = "black" if score > (scores.max() + scores.min()) / 2 else "white"
    ax.text(j, i, f"{score:.1%}", ha="center", va="center", color=shade)
ax.set_xticks(range(5), [f"{alpha:g}" for alpha in grid["softmax__alpha"]])
ax.set_yticks(range(6), grid["pca__n_components"])
ax.set(xlabel="alpha", ylabel="components")
figure.colorbar(image, label="accuracy in cross-validation")
plt.show()
