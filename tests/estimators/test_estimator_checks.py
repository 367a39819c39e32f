"""scikit-learn's own estimator checks, on every backend that is installed.

None is excused, but for those that no validation split can satisfy, and those of sparse rows
where PyTorch trains. What they leave out by default (data frames, read-only X) runs as well;
what they do with arrays of other libraries is in array_api.
"""

import pytest
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_estimator,
    check_inplace_ensure_writeable,
    parametrize_with_checks,
)

from sksoftmax import SoftmaxClassifier, SoftmaxClassifierCV, list_backends

BACKENDS = [info.name for info in list_backends() if info.available]

# Many checks fit for fewer epochs than convergence takes, on purpose.
unconverged = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

OF_SPARSE_ROWS = dict.fromkeys(
    ("check_estimator_sparse_tag", "check_sample_weight_equivalence_on_sparse_data"),
    "PyTorch's backend refuses sparse rows, and scikit-learn asks the estimator alone",
)


def expected_failures(estimator):
    """A split can part two copies of a row, but not one row of weight two."""
    failures = OF_SPARSE_ROWS if estimator.backend == "torch" else {}
    if not estimator.early_stopping:
        return failures
    kinds = ["dense_data"]
    if estimator.__sklearn_tags__().input_tags.sparse:
        kinds.append("sparse_data")
    reason = "a validation split holds out rows, not weights"
    return failures | {f"check_sample_weight_equivalence_on_{kind}": reason for kind in kinds}


PARAMETERS = (
    {"optimizer": "adam"},
    {"nesterov": True},
    {"l1_ratio": 0.5},
    {"optimizer": "lbfgs"},
    {"early_stopping": True},
)


@unconverged
@parametrize_with_checks(
    [
        *(SoftmaxClassifier(backend=name) for name in BACKENDS),
        *(SoftmaxClassifier(backend="numpy", **parameters) for parameters in PARAMETERS),
    ],
    expected_failed_checks=expected_failures,
)
def test_check_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.slow
@unconverged
@parametrize_with_checks(
    [
        SoftmaxClassifier(backend=name, **parameters)
        for name in BACKENDS
        if name != "numpy"
        for parameters in PARAMETERS
    ],
    expected_failed_checks=expected_failures,
)
def test_check_of_scikit_learn_on_other_backends(estimator, check):
    check(estimator)


@unconverged
@pytest.mark.filterwarnings("ignore:The least populated class in y:UserWarning")
@parametrize_with_checks([SoftmaxClassifierCV(alphas=2, cv=2, max_iter=50, backend="numpy")])
def test_check_of_the_one_that_chooses_its_penalty(estimator, check):
    check(estimator)


@unconverged
def test_no_check_is_skipped_but_for_the_array_api_switch():
    results = check_estimator(SoftmaxClassifier(), on_skip=None)
    not_passed = [result for result in results if result["status"] != "passed"]
    assert len(results) > len(not_passed)
    for result in not_passed:
        assert result["status"] == "skipped", result
        reason = str(result["exception"])
        assert "SCIPY_ARRAY_API" in reason or "is not installed" in reason, result


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "check", [check_dataframe_column_names_consistency, check_inplace_ensure_writeable]
)
@unconverged
def test_check_that_is_not_in_the_suite(check, backend):
    check("SoftmaxClassifier", SoftmaxClassifier(backend=backend))
