"""Generated input of every form: trained as its float64 copy is, or refused in known words.

Examples are drawn by Hypothesis, which shrinks one that fails, and run in a child process.
"""

import pytest
from fuzz import inputs
from fuzz.child import Child
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

DEFAULT_EXAMPLES, SLOW_EXAMPLES = 60, 3000

ARRAYS = st.fixed_dictionaries(
    {
        "kind": st.just("array"),
        "container": st.sampled_from(inputs.LAYOUTS),
        "dtype": st.sampled_from(inputs.DTYPES),
    }
)
FRAMES = st.fixed_dictionaries(
    {
        "kind": st.just("frame"),
        "container": st.sampled_from(inputs.FRAMES),
        "dtype": st.sampled_from(["f8", "f4", "i8", "u1", "?"]),
    }
)
SPARSE = st.fixed_dictionaries(
    {
        "kind": st.just("sparse"),
        "container": st.sampled_from(inputs.FORMATS),
        "dtype": st.sampled_from(inputs.SPARSE_DTYPES),
        "twist": st.sampled_from(inputs.TWISTS),
        "is_array": st.booleans(),
    }
)
FLAWS = st.one_of(
    st.tuples(st.just("rows"), st.sampled_from(inputs.X_FLAWS)),
    st.tuples(st.just("rows"), st.sampled_from(inputs.SPARSE_FLAWS)),
    st.tuples(st.just("labels"), st.sampled_from(inputs.Y_FLAWS)),
    st.tuples(st.just("weights"), st.sampled_from(inputs.WEIGHT_FLAWS)),
)
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "learning_rate": st.just(0.1),
        "optimizer": st.just("adam"),
        "l1_ratio": st.just(0.5),
        "batch_size": st.sampled_from([1, 8]),
        "fit_intercept": st.just(False),
        "standardize": st.just(False),
        "shuffle": st.sampled_from([False, "blocks"]),
        "average": st.just(False),
    },
)
METHODS = ["fit", "fit", "partial_fit", "partial_fit", "predict_proba", "decision_function"]


@st.composite
def examples(draw, backends):
    """All that an example is made of, as plain values."""
    example = {
        "seed": draw(st.integers(0, 2**16)),
        "n_rows": draw(st.integers(4, 60)),
        "n_features": draw(st.integers(1, 6)),
        "n_classes": draw(st.integers(2, 4)),
        "values": draw(st.sampled_from(inputs.VALUES)),
        "form": draw(st.one_of(ARRAYS, FRAMES, SPARSE)),
        "labels": draw(st.sampled_from(inputs.LABELS)),
        "weights": draw(st.sampled_from(inputs.WEIGHTS)),
        "parameters": draw(PARAMETERS),
        "method": draw(st.sampled_from([*METHODS, "search"])),
        "validates": draw(st.booleans()),
        "fitted_before": draw(st.booleans()),
        "backend": draw(st.sampled_from(backends)),
        "flaw": draw(st.one_of(st.none(), st.none(), FLAWS)),
    }
    is_prediction = example["method"] in ("predict_proba", "decision_function")
    if is_prediction and example["flaw"] is not None:
        # A prediction sees rows alone, of any number.
        where, flaw = example["flaw"]
        if where != "rows" or flaw == "short":
            example["flaw"] = None
    if example["values"] == "mixed units":
        # Not standardised, in float32, the small ones would drown in the rounding of others.
        example["parameters"].pop("standardize", None)
    if example["method"] == "search":
        example["n_rows"] += 20  # each fold is to have every class
    if example["fitted_before"] and example["method"] == "partial_fit":
        example["labels"] = "integers"  # those of the model that goes on
    return example


@pytest.fixture(scope="module")
def child():
    found = Child(seconds=240)
    yield found
    found.stop()


def campaign(n_examples, backends):
    """A test of so many examples, the same ones in every run."""

    @settings(
        max_examples=n_examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(example=examples(backends))
    def every_example(child, example):
        verdict = child.judge(example)
        assert verdict is None, f"{verdict}: {example}"

    return every_example


def test_generated_input(child):
    with threadpool_limits(limits=1):
        campaign(DEFAULT_EXAMPLES, ["numpy"])(child)


@pytest.mark.slow
def test_more_generated_input(child):
    with threadpool_limits(limits=1):
        campaign(SLOW_EXAMPLES, ["numpy", "numba"])(child)
