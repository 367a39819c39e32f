"""scikit-learn's own checks of estimators that take arrays of other libraries."""

from importlib.util import find_spec

import pytest
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator

from sksoftmax import SoftmaxClassifier, list_backends

BACKENDS = [info.name for info in list_backends() if info.available]

unconverged = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def checks_of_arrays(backends, *, on_gpu):
    """The checks that make arrays of other libraries, on an NVIDIA GPU or on none."""
    found = []
    for backend in backends:
        for estimator, check in estimator_checks_generator(SoftmaxClassifier(backend=backend)):
            name, keywords = check.func.__name__, repr(check.keywords)
            needs_gpu = "cupy" in keywords or "cuda" in keywords
            if "array_api" in name and needs_gpu == on_gpu:
                found.append(pytest.param(estimator, check, id=f"{backend}-{keywords}"))
    return found


@unconverged
@pytest.mark.parametrize(
    ("estimator", "check"),
    checks_of_arrays([name for name in BACKENDS if name != "cupy"], on_gpu=False),
)
def test_check_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.gpu
@unconverged
@pytest.mark.parametrize(("estimator", "check"), checks_of_arrays(["auto"], on_gpu=True))
def test_check_of_scikit_learn_on_a_gpu(estimator, check):
    check(estimator)


@pytest.mark.slow
@unconverged
@pytest.mark.skipif(
    any(find_spec(name) for name in ("cupy", "torch")), reason="they are tested one by one"
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_all_checks_together(backend):
    results = check_estimator(SoftmaxClassifier(backend=backend), on_skip=None)
    skipped = [result for result in results if result["status"] == "skipped"]
    assert all("is not installed" in str(result["exception"]) for result in skipped)
    assert len(results) >= 84
