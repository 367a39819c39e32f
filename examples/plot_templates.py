"""
Templates of digits
===================

A linear model of images learns one image a class: where ink speaks for the class, and where
against it. With ``SKSOFTMAX_MNIST`` set to a folder that holds MNIST, these are the ten of
MNIST; otherwise of the smaller digits that scikit-learn ships.
"""

import os

import matplotlib.pyplot as plt
from quickstart import load_mnist, split_digits

from sksoftmax import SoftmaxClassifier
from sksoftmax.inspection import CoefficientDisplay

if os.environ.get("SKSOFTMAX_MNIST"):
    X_train, y_train, X_test, y_test = load_mnist()
    image_shape = (28, 28)
else:
    print("SKSOFTMAX_MNIST is not set: the 8 x 8 digits of scikit-learn in place of MNIST.")
    X_train, y_train, X_test, y_test = split_digits()
    image_shape = (8, 8)

# %%
# A strong penalty spreads weight over neighbouring pixels and makes smoother templates, at the
# cost of some accuracy. Red is for, blue against:

clf = SoftmaxClassifier(alpha=0.1, random_state=0).fit(X_train, y_train)
print(f"{clf.score(X_test, y_test):.1%} of {len(y_test)} test images, {clf.n_iter_} epochs")
figure, axes = plt.subplots(2, 5, figsize=(9, 4.2), layout="constrained")
CoefficientDisplay.from_estimator(clf, image_shape=image_shape, axes=axes)
plt.show()

# %%
# The default penalty is weak. The model is more accurate, and its templates hold whatever helps
# to tell one class from the others:

clf = SoftmaxClassifier(random_state=0).fit(X_train, y_train)
print(f"{clf.score(X_test, y_test):.1%} of {len(y_test)} test images, {clf.n_iter_} epochs")
figure, axes = plt.subplots(2, 5, figsize=(9, 4.2), layout="constrained")
CoefficientDisplay.from_estimator(clf, image_shape=image_shape, axes=axes)
plt.show()
