"""MLflow's sklearn flavour: every format it offers, logged and loaded back."""

import pickle

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksoftmax import SoftmaxClassifier, SoftmaxSearchCV

pytestmark = [
    # MLflow's store declares a relationship by an option that SQLAlchemy 2.1 deprecates,
    # importing mlflow.pyfunc warns of hints of its own, and 3.9 warns of its format "pickle".
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),
    pytest.mark.filterwarnings("ignore:Saving scikit-learn models in the pickle:FutureWarning"),
]

X, Y = load_iris(return_X_y=True)


@pytest.fixture
def mlflow(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.chdir(tmp_path)  # artifacts go to ./mlruns
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("mlflow.sklearn")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    return mlflow


def test_logged_models_load_and_train_on(mlflow):
    skops_io = pytest.importorskip("skops.io")
    clf = SoftmaxClassifier(batch_size=50, max_iter=5, tol=None, random_state=0)
    model = make_pipeline(StandardScaler(), clf).fit(X, Y)
    trusted = skops_io.get_untrusted_types(data=skops_io.dumps(model))
    formats = mlflow.sklearn.SUPPORTED_SERIALIZATION_FORMATS
    assert {"pickle", "cloudpickle", "skops"} <= set(formats)
    for form in formats:
        with mlflow.start_run() as run:
            mlflow.log_params({"alpha": model[-1].alpha})
            for epoch, loss in enumerate(model[-1].loss_curve_):
                mlflow.log_metric("loss", loss, step=epoch)
            info = mlflow.sklearn.log_model(
                model,
                name="model",
                serialization_format=form,
                skops_trusted_types=trusted if form == "skops" else None,
                pip_requirements=["sksoftmax"],  # inferring them takes seconds
            )
        loaded = mlflow.sklearn.load_model(info.model_uri)
        np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
        python_function = mlflow.pyfunc.load_model(info.model_uri)
        np.testing.assert_array_equal(python_function.predict(X), model.predict(X))
        final, copy = loaded[-1], pickle.loads(pickle.dumps(model[-1]))
        np.testing.assert_array_equal(
            final.partial_fit(X, Y).coef_, copy.partial_fit(X, Y).coef_
        )
        history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
        assert [metric.value for metric in history] == model[-1].loss_curve_


@pytest.mark.parametrize(
    ("of_search", "logged"),
    [
        (GridSearchCV, {"GridSearchCV": 1, "Pipeline": 2}),  # one for each candidate
        # MLflow knows no classes but scikit-learn's: it logs each fit of the steps before ours.
        # The guide says so, and how a search is logged by hand.
        (SoftmaxSearchCV, {"Pipeline": 4}),
    ],
)
def test_autologging_follows_searches_of_scikit_learn_alone(mlflow, of_search, logged):
    model = make_pipeline(StandardScaler(), SoftmaxClassifier(random_state=0))
    search = of_search(model, {"softmaxclassifier__alpha": [1e-3, 1e-1]}, cv=3)
    mlflow.sklearn.autolog(log_models=False, log_datasets=False, silent=True)
    try:
        search.fit(X, Y)
    finally:
        mlflow.sklearn.autolog(disable=True)
    names = [
        run.data.tags.get("estimator_name") for run in mlflow.search_runs(output_format="list")
    ]
    assert {name: names.count(name) for name in set(names)} == logged
