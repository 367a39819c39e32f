"""Bad parameters: a fit refuses them by name, whatever kind of number, and changes no model."""

from fractions import Fraction

import numpy as np
import pytest
from left_unchanged import X, Y, assert_raises_and_changes_nothing

from sksoftmax import SoftmaxClassifier, SoftmaxClassifierCV

CLASSES = [0, 1, 2]

# A value of the wrong type, then values out of range, where the parameter has a range.
BAD_PARAMETERS = {
    "alpha": ["1", -1e-9, np.nan],
    "l1_ratio": ["1", -0.1, 1.1, np.nan],
    "average": ["yes"],
    "backend": [3, object()],
    "batch_size": [2.5, 0],
    "class_weight": [3.0, "heavy"],
    "early_stopping": ["auto"],
    "fit_intercept": ["yes"],
    "learning_rate": [None, "fast", 0, -0.1],
    "max_iter": [10.0, 0],
    "momentum": ["0.9", 1.0, -0.1],
    "schedule": ["optimal", 1],
    "optimizer": ["newton-cg", 1],
    "nesterov": ["yes"],
    "beta_1": ["0.9", 1.0, -0.1],
    "beta_2": ["0.9", 1.0, -0.1],
    "epsilon": ["0", 0.0, -1e-8],
    "n_iter_no_change": [None, 0],
    "n_jobs": [0.5, "all"],
    "random_state": ["seed", -1],
    "shuffle": [None],
    "standardize": ["yes"],
    "tol": ["1e-3", -1e-9],
    "validation_fraction": ["0.1", 0, 1.0],
    "verbose": ["loud", -1],
    "warm_start": ["yes"],
}


def test_every_parameter_has_bad_values_here():
    assert BAD_PARAMETERS.keys() == SoftmaxClassifier().get_params().keys()


@pytest.mark.parametrize(
    ("name", "value"), [(name, v) for name, bad in BAD_PARAMETERS.items() for v in bad]
)
def test_bad_parameter(fitted, name, value):
    message = f"The '{name}' parameter of SoftmaxClassifier must be "
    new = SoftmaxClassifier(**{name: value})
    with pytest.raises(ValueError, match=message):
        new.partial_fit(X, Y, classes=CLASSES)
    fitted.set_params(**{name: value})
    assert_raises_and_changes_nothing(fitted, message, lambda clf: clf.fit(X, Y))


BEYOND_FLOATS = {
    "tol": [10**400, Fraction(10**400), np.longdouble("1e4000")],
    "alpha": [10**400, np.longdouble("1e4000")],
    "learning_rate": [10**400, Fraction(1, 10**400)],  # 0 as a float
    "epsilon": [10**400, Fraction(1, 10**400)],
    "momentum": [10**400, Fraction(10**400 - 1, 10**400)],  # 1 as a float
    "beta_1": [Fraction(10**400 - 1, 10**400)],
    "validation_fraction": [Fraction(1, 10**400), Fraction(10**400 - 1, 10**400)],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, v) for name, values in BEYOND_FLOATS.items() for v in values]
)
def test_numbers_that_no_float_can_hold(fitted, name, value):
    fitted.set_params(**{name: value})
    message = f"The '{name}' parameter of SoftmaxClassifier must be "
    assert_raises_and_changes_nothing(fitted, message, lambda clf: clf.fit(X, Y))


def test_a_grid_of_numbers_that_no_float_can_hold():
    with pytest.raises(ValueError, match="alphas must hold numbers that a float can hold"):
        SoftmaxClassifierCV(alphas=[1, 10**400]).fit(X, Y)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_fractions_are_numbers(optimizer):
    names = "alpha", "l1_ratio", "learning_rate", "momentum", "beta_1", "beta_2", "epsilon"
    half = Fraction(1, 2)
    clf = SoftmaxClassifier(optimizer=optimizer, max_iter=3, tol=None, random_state=0)
    exact = clf.set_params(**dict.fromkeys(names, half)).fit(X, Y).coef_
    float_ = clf.set_params(**dict.fromkeys(names, 0.5)).fit(X, Y).coef_
    np.testing.assert_array_equal(exact, float_)


def test_unknown_backend_names_the_installed_ones(fitted):
    fitted.set_params(backend="abacus")
    message = "Unknown backend 'abacus'. Backends that can be used here: .*numpy"
    assert_raises_and_changes_nothing(fitted, message, lambda clf: clf.fit(X, Y))
