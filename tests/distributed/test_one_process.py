"""DistributedSoftmaxClassifier where nobody else takes part: it is SoftmaxClassifier."""

import pickle
import sys

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.utils.estimator_checks import check_estimator

from sksoftmax import SoftmaxClassifier
from sksoftmax.distributed import DistributedSoftmaxClassifier

X, Y = load_digits(return_X_y=True)


def test_without_mpi4py_the_error_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    clf = DistributedSoftmaxClassifier()
    with pytest.raises(ImportError, match="pip install mpi4py mpich"):
        clf.fit(X, Y)


def test_parameters_are_those_of_softmax_classifier_and_one_more():
    clf = DistributedSoftmaxClassifier(alpha=0.5, random_state=0)
    assert clf.get_params() == {
        **SoftmaxClassifier(alpha=0.5, random_state=0).get_params(),
        "comm": None,
    }
    assert repr(clf) == "DistributedSoftmaxClassifier(alpha=0.5, random_state=0)"


def test_unknown_parameters_are_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'rate'"):
        DistributedSoftmaxClassifier(rate=1)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"backend": "numpy", "optimizer": "adam", "class_weight": "balanced"},
        {"early_stopping": True},
    ],
)
@pytest.mark.parametrize("rows", [X, sparse.csr_array(X)], ids=["dense", "sparse"])
def test_fit_is_that_of_softmax_classifier(rows, parameters):
    pytest.importorskip("mpi4py", reason='needs mpi4py: pip install -e ".[test,mpi]"')
    weights = np.random.default_rng(0).integers(3, size=len(Y))
    settings = {"max_iter": 5, "tol": None, "random_state": 0, **parameters}
    plain = SoftmaxClassifier(**settings).fit(rows, Y, weights)
    distributed = DistributedSoftmaxClassifier(**settings).fit(rows, Y, weights)
    kept = {name for name in vars(plain) if name.endswith("_")}
    assert {name for name in vars(distributed) if name.endswith("_")} == kept
    for name in kept:
        np.testing.assert_array_equal(vars(distributed)[name], vars(plain)[name])
    plain.set_params(class_weight=None).partial_fit(rows, Y)
    distributed.set_params(class_weight=None)
    for copied in pickle.loads(pickle.dumps(distributed)), distributed:
        np.testing.assert_array_equal(copied.partial_fit(rows, Y).coef_, plain.coef_)
    assert not hasattr(clone(distributed), "coef_")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_checks_of_scikit_learn():
    pytest.importorskip("mpi4py", reason='needs mpi4py: pip install -e ".[test,mpi]"')
    results = check_estimator(DistributedSoftmaxClassifier(), on_skip=None)
    not_passed = [result for result in results if result["status"] != "passed"]
    assert len(results) > len(not_passed)
    for result in not_passed:
        assert result["status"] == "skipped", result
        assert result["check_name"].startswith("check_array_api"), result
