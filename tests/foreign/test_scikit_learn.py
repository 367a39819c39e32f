"""scikit-learn's own tests, as they are installed, of what ours takes the place of."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest
import sklearn
from sklearn.utils.fixes import parse_version

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Suite:
    """Modules of tests that a plugin serves, and how many of their tests must pass.

    Tests are excluded by a part of their name, each with the reason.
    """

    plugin: str
    modules: tuple[str, ...]
    least: int
    excluded: dict[str, str] = field(default_factory=dict)


SUITES = {
    "searches": Suite("in_place_of_grid_search", ("model_selection.tests.test_search",), 130),
    "users of a classifier": Suite(
        "in_place_of_logistic_regression",
        (
            "ensemble.tests.test_bagging",
            "ensemble.tests.test_stacking",
            "ensemble.tests.test_voting",
            "feature_selection.tests.test_from_model",
            "feature_selection.tests.test_rfe",
            "inspection._plot.tests.test_boundary_decision_display",
            "inspection.tests.test_partial_dependence",
            "inspection.tests.test_permutation_importance",
            "tests.test_calibration",
            "tests.test_pipeline",
        ),
        580,
        {
            "test_bagging_small_max_features": (
                "gives all rows of one class the weight 0, and these count for nothing here"
            ),
        },
    ),
    "logistic regression": Suite(
        "in_place_of_logistic_regression",
        ("linear_model.tests.test_logistic",),
        150,
        {
            "liblinear": "names a solver, all of which are one here",
            "newton": "names a solver",
            "sag": "names a solver, saga as well",
            "check_solver_option": "asks for errors about solvers",
            "cv": "tests LogisticRegressionCV",
            "lr_scoring": "tests LogisticRegressionCV",
            "path": "calls a private function",
            "predict_proba_multinomial": "calls a private method",
            "deprecated": "asks for a warning about a parameter that ours does not have",
            "l1_ratio_non_elasticnet": "asks for such a warning",
            "l1ratio_incompatible": "asks for such a warning",
            "penalty_none": "asks for such a warning",
            "warns_with_n_jobs": "asks for such a warning",
            "max_iter": "ends fits after one iteration",
            "test_warm_start[42-True-False": "ends fits after one iteration",
            "test_warm_start[42-False-False": "ends fits after one iteration",
            "callback_support": "counts a task after the last iteration",
            "logistic_glmnet": (
                "asks for 5 digits of a coefficient 4,000 times smaller than others: ours has 4"
            ),
            "logreg_l1": "asks for 7 digits of such a coefficient, by lasso: ours has 6",
        },
    ),
    "SGD": Suite(
        "in_place_of_sgd_classifier",
        ("linear_model.tests.test_sgd",),
        68,
        {
            "Regressor": "tests regression",
            "OneClass": "tests one-class SVMs, oneclass, one_class and ocsvm as well",
            "oneclass": "tests one-class SVMs",
            "one_class": "tests one-class SVMs",
            "ocsvm": "tests one-class SVMs",
            "test_loss": "calls private functions of other losses",
            "test_gradient": "calls such functions",
            "average_binary": "asks for the steps of another loss, the squared error",
            "sgd_multiclass_average": "asks for the steps of the squared error",
            "late_onset": "asks for averages from a certain step on, of the squared error",
            "PA_raises": "names schedules of other losses",
            "sgd_proba": "asks that there be no probabilities, by the hinge loss",
            "test_class_weights": "turns a plane further than the log-loss does",
            "test_sample_weights": "turns the same plane",
            "coef": "sets coefficients to begin with, which ours takes from a warm start alone",
            "set_intercept": "sets intercepts to begin with",
            "warm_start": "compares with coefficients that are set",
            "average_attr": "asks for private attributes",
            "validation_mask": "asks for a private class",
            "validation_set_not_used": "asks for the rows of a StratifiedShuffleSplit",
            "penalty_validation": "asks for an error about a parameter that ours does not have",
            "power_t": "asks for a warning about such a parameter",
            "underflow_or_overflow": "asks for other words in an error",
            "zero_validation_weight": "asks for other words in an error",
            "early_stopping_with_partial_fit": "asks for an error where ours goes on",
            "not_enough_sample": "asks for an error where ours keeps a row of each class",
            "balanced_weight": "asks that a fit without weights be bad: ours is good",
            "test_early_stopping": "asks for an end, of raw features, before all is gained",
            "early_stopping[": "asks for such an end",
            "multi_thread": "asks for such an end",
            "tol_parameter": "asks for such an end, at tol=0",
            "adaptive_longer": "ends fits after 100 epochs, in which ours does not converge",
            "large_regularization[l2]": "asks that too long a given step be cut: ours warns",
            "sgd_random_state": "asks that seeds differ by steps as large as the hinge loss's",
        },
    ),
    "multilayer perceptron": Suite(
        "in_place_of_mlp_classifier",
        ("neural_network.tests.test_mlp",),
        17,
        {
            "Regressor": "tests regression, regression, shuffle and others below as well",
            "regression": "tests regression",
            "shuffle": "tests regression",
            "nonfinite": "tests regression",
            "loading_from_joblib": "tests regression",
            "diverging_loss": "tests regression",
            "sample_weight_with_early_stopping": "tests regression",
            "poisson": "tests regression",
            "minimum_input_sample_size": "tests regression",
            "multilabel": "gives several labels a row",
            "test_alpha": "looks into a hidden layer",
            "test_fit": "sets weights of a hidden layer",
            "test_gradient": "calls a private method",
            "maxfun": "names a parameter that ours does not have",
            "learning_rate_warmstart": "asks for private attributes",
            "adaptive_learning_rate": "asks for private attributes",
            "n_iter_no_change": "asks for private attributes",
            "verbose": "asks for other words",
            "full_iteration": "counts the epochs of the last fit alone",
            "no_convergence": "counts the epochs of the last fit alone",
            "test_early_stopping[": "asks for a score in place of a loss",
            "early_stopping_stratified": "asks for an error where ours keeps the only row",
            "feature_names": "trains on a single class",
            "partial_fit_after_fit": "asks for an error where ours goes on",
        },
    ),
}


@pytest.mark.slow
@pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.9"),
    reason="held to the tests of scikit-learn 1.9",
)
@pytest.mark.parametrize("name", SUITES)
def test_scikit_learns_tests(name):
    suite = SUITES[name]
    if find_spec("sklearn.tests") is None:
        pytest.skip("scikit-learn is installed without its tests")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(FOLDER), *sys.path]),
        "PYTEST_ADDOPTS": "",
        "SCIPY_ARRAY_API": "1",
    }
    settings = ["-c", os.devnull, "-p", "no:cacheprovider"]  # theirs, not ours
    deselected = [f"not {part}" for part in suite.excluded]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *settings, "-p", suite.plugin, "--tb=short",
         "-k", " and ".join(deselected),
         "--pyargs", *(f"sklearn.{module}" for module in suite.modules)],
        env=environment,
        cwd=FOLDER,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert int(passed[1]) >= suite.least, done.stdout[-2000:]
