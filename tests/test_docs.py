"""What is said of every public name, and whether the reference lists all of them.

The pages' snippets are doctests of their own; links are followed in the built site.
"""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from numpydoc.validate import validate

import sksoftmax

DOCS = Path(__file__).parents[1] / "docs"
REFERENCE = "\n".join(page.read_text() for page in sorted((DOCS / "api").glob("*.rst")))

CLASSES = [
    "sksoftmax.SoftmaxClassifier",
    "sksoftmax.SoftmaxClassifierCV",
    "sksoftmax.SoftmaxSearchCV",
    "sksoftmax.model_selection.SoftmaxSearchCV",
    "sksoftmax.BackendInfo",
    "sksoftmax.distributed.DistributedSoftmaxClassifier",
    "sksoftmax.inspection.LossCurveDisplay",
    "sksoftmax.inspection.CoefficientDisplay",
    "sksoftmax.backend.ArrayTrainer",
    "sksoftmax.backend.Backend",
    "sksoftmax.backend.Problem",
    "sksoftmax.backend.Rule",
    "sksoftmax.backend.State",
    "sksoftmax.backend.Trainer",
    "sksoftmax.testing.CaseReport",
]
FUNCTIONS = [
    "sksoftmax.get_backend",
    "sksoftmax.list_backends",
    "sksoftmax.testing.check_backend",
]
NOT_ASKED_FOR = {
    "ES01",  # a summary that says all needs no second paragraph
    "EX01",  # asked for below, where an example can run
    "PR08",  # float32 is written in small letters
    "RT02",  # a single result has no name
    "SA01",  # See Also only where there is something to see
}
REFERS_TO_PARAMETERS_OF_ANOTHER = ["sksoftmax.distributed.DistributedSoftmaxClassifier"]
CONTRACT = ("Backend", "Problem", "Rule", "State", "Trainer")
OF_THE_CONTRACT = [f"sksoftmax.backend.{name}" for name in CONTRACT]
EXAMPLES = [name for name in [*CLASSES, *FUNCTIONS] if name not in OF_THE_CONTRACT]


def resolved(name):
    module = importlib.import_module("sksoftmax")
    for part in name.split(".")[1:]:
        if not hasattr(module, part):
            importlib.import_module(f"{module.__name__}.{part}")
        module = getattr(module, part)
    return module


def methods(name):
    """Public methods and properties of a class that are ours."""
    found = []
    for attribute, value in inspect.getmembers(resolved(name)):
        function = value.fget if isinstance(value, property) else value
        if attribute.startswith("_") or not callable(function):
            continue
        if not getattr(function, "__module__", "").startswith("sksoftmax"):
            continue
        found.append(f"{name}.{attribute}")
    return found


EVERYTHING = [*CLASSES, *FUNCTIONS, *(m for name in CLASSES for m in methods(name))]


@pytest.mark.parametrize("name", EVERYTHING)
def test_docstring_is_numpydoc(name):
    found = validate(name)["errors"]
    protocol = name.startswith(("sksoftmax.backend.Backend", "sksoftmax.backend.Trainer"))
    if protocol or name in REFERS_TO_PARAMETERS_OF_ANOTHER:
        found = [error for error in found if not error[0].startswith("PR")]
    assert [error for error in found if error[0] not in NOT_ASKED_FOR] == []


@pytest.mark.parametrize("name", EVERYTHING)
def test_docstring_is_there(name):
    assert inspect.getdoc(resolved(name))


@pytest.mark.parametrize("name", EXAMPLES)
def test_there_is_an_example(name):
    assert ">>> " in inspect.getdoc(resolved(name))


@pytest.mark.parametrize("name", [*CLASSES, *FUNCTIONS])
def test_reference_lists(name):
    last = name.rpartition(".")[2]
    assert re.search(rf"^\.\. auto(class|function):: (\S+\.)?{last}(\(.*\))?$", REFERENCE, re.M)


def test_every_exported_name_is_checked_here():
    exported = {f"sksoftmax.{name}" for name in sksoftmax.__all__ if name != "__version__"}
    assert exported <= {*CLASSES, *FUNCTIONS}


def test_reference_lists_every_method_of_the_estimator():
    listed = set(re.findall(r"^\.\. automethod:: SoftmaxClassifier\.(\w+)$", REFERENCE, re.M))
    assert listed == {
        name.rpartition(".")[2] for name in methods("sksoftmax.SoftmaxClassifier")
    }


@pytest.mark.parametrize(
    ("message", "source"),
    [
        ("is registered more than once", "sksoftmax/backend/registry.py"),
        (
            "backend='numba' needs Numba, which is missing",
            "backends/sksoftmax_numba/__init__.py",
        ),
    ],
)
def test_messages_that_a_page_can_only_quote(message, source):
    assert message in (DOCS / "guide" / "troubleshooting.rst").read_text()
    assert message in (DOCS.parent / source).read_text()


def follow(site, *options):
    command = [sys.executable, str(DOCS / "links.py"), str(site), *options]
    return subprocess.run(command, capture_output=True, text=True)


def test_links_of_a_sound_site(tmp_path):
    (tmp_path / "index.html").write_text('<a href="b.html#c">b</a><a href="https://x.y">x</a>')
    (tmp_path / "b.html").write_text('<p id="c"><a href="#c">c</a><a href="./">up</a></p>')
    assert follow(tmp_path).returncode == 0
    assert follow(tmp_path, "--external").stdout == "https://x.y\n"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('<a href="gone.html">', "no file for gone.html"),
        ('<a href="index.html#gone">', "no anchor for index.html#gone"),
        ('<img src="gone.png">', "no file for gone.png"),
        ('<script src="https://x.y/z.js"></script>', "loads https://x.y/z.js"),
    ],
)
def test_a_broken_link_fails(tmp_path, content, complaint):
    (tmp_path / "index.html").write_text(content)
    result = follow(tmp_path)
    assert result.returncode == 1
    assert complaint in result.stdout


def test_links_of_a_site_that_is_not_built(tmp_path):
    result = follow(tmp_path)
    assert result.returncode == 1
    assert "build the site first" in result.stderr
