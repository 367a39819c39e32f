"""skl2onnx converters: fitted classifiers and searches as ONNX graphs that need no Python.

The graph computes what ``prediction`` computes, in the same dtype. This module reads
``classes_``, ``coef_`` and ``intercept_``, and must not know how they came about.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sksoftmax.data.arrays import training_dtype
from sksoftmax.estimators.classifier import SoftmaxClassifier
from sksoftmax.model_selection.classifier_cv import SoftmaxClassifierCV
from sksoftmax.model_selection.search import SoftmaxSearchCV

try:
    from onnx import TensorProto
    from onnx.helper import tensor_dtype_to_np_dtype
    from skl2onnx import update_registered_converter
    from skl2onnx._parse import parse_sklearn
    from skl2onnx.common.data_types import (
        FloatTensorType,
        Int64TensorType,
        StringTensorType,
        guess_proto_type,
        guess_tensor_type,
    )
    from skl2onnx.common.utils import check_input_and_output_numbers
    from skl2onnx.common.utils_classifier import get_label_classes
except ImportError as error:
    raise ImportError(
        f"sksoftmax.onnx needs skl2onnx, and importing it failed: {error}."
        " Install it with: pip install skl2onnx onnxruntime"
    ) from error


def register() -> None:
    """Make skl2onnx convert `SoftmaxClassifier`, alone or within a Pipeline, and its searches.

    Call it once in a process, before ``skl2onnx.to_onnx`` or ``convert_sklearn``; a second
    call changes nothing. The graph's first output is the label (int64 or string), its second
    the probabilities: of the dtype of float32 and float64 input, float32 for integers.

    `SoftmaxClassifierCV` is converted alike, and `SoftmaxSearchCV` as its `best_estimator_`,
    to which options for the search apply.

    Options are those of skl2onnx's own classifiers: ``zipmap`` (True for a dict a row, whose
    values ONNX limits to float32; False for one array; "columns" for an output a class),
    ``raw_scores`` (the decision function in place of probabilities; for two classes minus
    and plus it), ``nocl`` (codes in place of labels) and ``output_class_labels``.

    Examples
    --------
    >>> import numpy as np
    >>> import sksoftmax.onnx
    >>> from onnxruntime import InferenceSession
    >>> from skl2onnx import to_onnx
    >>> from sksoftmax import SoftmaxClassifier
    >>> X = np.array([[0], [1], [2], [3]], np.float32)
    >>> clf = SoftmaxClassifier().fit(X, ["a", "a", "b", "b"])
    >>> sksoftmax.onnx.register()
    >>> graph = to_onnx(clf, X[:1], options={"zipmap": False})
    >>> label, probabilities = InferenceSession(graph.SerializeToString()).run(None, {"X": X})
    >>> label.tolist()
    ['a', 'a', 'b', 'b']
    >>> np.allclose(probabilities, clf.predict_proba(X), rtol=0, atol=1e-6)
    True
    """
    parsers = {
        SoftmaxClassifier: None,
        SoftmaxClassifierCV: None,
        SoftmaxSearchCV: _parse_best_estimator,  # whose own converter is called in its place
    }
    for model, parser in parsers.items():
        update_registered_converter(
            model,
            f"Sksoftmax{model.__name__}",
            _declare_outputs,
            _convert,
            parser=parser,
            options={
                "zipmap": [True, False, "columns"],
                "raw_scores": [False, True],
                "nocl": [False, True],
                "output_class_labels": [False, True],
            },
        )


def _parse_best_estimator(
    scope: Any, model: SoftmaxSearchCV, inputs: Any, custom_parsers: Any = None
) -> Any:
    """Put the best estimator of a search in its place."""
    check_is_fitted(model, "best_estimator_")
    options = scope.get_options(model)
    if options:
        scope.add_options(id(model.best_estimator_), options)
    return parse_sklearn(scope, model.best_estimator_, inputs, custom_parsers=custom_parsers)


def _declare_outputs(operator: Any) -> None:
    """Set types and shapes of the label and of the probabilities."""
    check_input_and_output_numbers(operator, input_count_range=1, output_count_range=2)
    label, probabilities = operator.outputs
    n_rows = operator.inputs[0].get_first_dimension()
    labels = _labels(operator)
    label_type = StringTensorType if labels.dtype == object else Int64TensorType
    label.set_type(label_type([n_rows]))
    output_type = type(guess_tensor_type(operator.inputs[0].type))
    if _feeds_zipmap(operator):
        output_type = FloatTensorType
    probabilities.set_type(output_type([n_rows, len(labels)]))


def _feeds_zipmap(operator: Any) -> bool:
    """Whether the probabilities become a dict a row, which ONNX defines for float32 only."""
    return any(
        consumer.type == "SklearnZipMap" and operator.outputs[1] in consumer.inputs
        for consumer in operator.scope_inst.operators.values()
    )


def _labels(operator: Any) -> NDArray[Any]:
    """The labels as ONNX can hold them: int64, or str in an array of objects."""
    classes = np.asarray(get_label_classes(operator.scope_inst, operator.raw_operator))
    return classes.astype(object if classes.dtype.kind in "OU" else np.int64)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes from the rows to the label and the probabilities."""

    def node(op_type: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        name = output or scope.get_unique_variable_name(op_type.lower())
        container.add_node(
            op_type,
            list(inputs),
            [name],
            name=scope.get_unique_operator_name(op_type),
            **attributes,
        )
        return name

    def constant(name: str, proto_type: int, array: NDArray[Any]) -> str:
        unique: str = scope.get_unique_variable_name(name)
        container.add_initializer(unique, proto_type, array.shape, array.ravel())
        return unique

    clf, (label, output) = operator.raw_operator, operator.outputs
    input_type = guess_proto_type(operator.inputs[0].type)
    rows_dtype = training_dtype(tensor_dtype_to_np_dtype(input_type))
    single = np.result_type(rows_dtype, clf.coef_.dtype) == np.float32
    real = TensorProto.FLOAT if single else TensorProto.DOUBLE

    rows = node("Cast", operator.inputs[0].full_name, to=real)
    products = node("MatMul", rows, constant("coef", real, clf.coef_.T))
    scores = node("Add", products, constant("intercept", real, clf.intercept_))
    binary = len(clf.classes_) == 2
    if binary:
        scores = node("Concat", node("Neg", scores), scores, axis=1)

    winners = node("ArgMax", scores, axis=1, keepdims=0)  # the first of equals, as predict
    labels = _labels(operator)
    if labels.dtype == object:
        encoded = np.array([name.encode() for name in labels], dtype=object)
        names = constant("classes", TensorProto.STRING, encoded)
    else:
        names = constant("classes", TensorProto.INT64, labels)
    node("Gather", names, winners, output=label.full_name)

    if not container.get_options(clf, {"raw_scores": False})["raw_scores"]:
        scores = node("Sigmoid", scores) if binary else node("Softmax", scores, axis=1)
    node("Cast", scores, output=output.full_name, to=guess_proto_type(output.type))
