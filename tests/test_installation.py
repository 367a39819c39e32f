"""Every `pip install` line that we print or write can be carried out with a clone alone."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
TOKEN = r"""(?:"[^"\n]+"|'[^'\n]+'|[\w.\[\],/<>=-]*[\w\]/-]|\.(?=[\s`)]|$))"""
PIP_INSTALL = re.compile(rf"pip install((?: {TOKEN})+)")
WITH_A_VALUE = {"-c", "--group", "--target"}
TOOLS = {"coverage", "cyanure", "ipywidgets", "pip"}
"""What may be installed though none of our extras needs it."""


def texts():
    """Each file's text by its path; of Python files every string, with its parts joined."""
    for pattern in ("*.md", ".ci/*", ".github/workflows/*", "docs/**/*.rst"):
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file() and "_build" not in path.parts:
                yield path, path.read_text(encoding="utf-8")
    for folder in ("sksoftmax", "backends", "examples", "benchmarks", "tests"):
        for path in sorted(ROOT.glob(f"{folder}/**/*.py")):
            if path != Path(__file__):
                yield path, "\n".join(_strings(ast.parse(path.read_text(encoding="utf-8"))))


def _strings(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(getattr(part, "value", "") for part in node.values if _is_text(part))


def _is_text(part):
    return isinstance(part, ast.Constant)


def installed_by(text):
    """What the lines of a text install, without options."""
    for match in PIP_INSTALL.finditer(text):
        tokens = iter(match[1].split())
        for token in tokens:
            if token in WITH_A_VALUE:
                next(tokens)
            elif not token.startswith("-"):
                yield token.strip("\"'")


@pytest.fixture(scope="module")
def project():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = pyproject["project"]["optional-dependencies"]
    groups = [*extras.values(), *pyproject["dependency-groups"].values()]
    lines = [line for group in groups for line in group]
    lines += pyproject["project"]["dependencies"]
    needed = {(Requirement(line).name, frozenset(Requirement(line).extras)) for line in lines}
    return set(extras), {(name, with_) for name, with_ in needed if name != "sksoftmax"}


def fault_of(target, extras, needed):
    """Why somebody who has only a clone cannot install a target; empty if they can."""
    if target.startswith("."):
        named = re.fullmatch(r"\.(?:\[([\w,-]+)\])?", target)
        return (
            ""
            if named and set(filter(None, (named[1] or "").split(","))) <= extras
            else ("no such extra")
        )
    requirement = Requirement(target)
    if requirement.name == "sksoftmax":
        return "the package is installed from the clone"
    known = {name for name, _ in needed} | TOOLS
    if requirement.name not in known:
        return "nothing of ours needs it"
    if requirement.extras and (requirement.name, frozenset(requirement.extras)) not in needed:
        return "an extra that ours does not take"
    return ""


def test_every_line_can_be_carried_out(project):
    found = [(path, target) for path, text in texts() for target in installed_by(text)]
    faults = {(path.name, target): fault_of(target, *project) for path, target in found}
    assert {key: fault for key, fault in faults.items() if fault} == {}
    places = {path.relative_to(ROOT).parts[0] for path, _ in found}
    assert {"README.md", "docs", "sksoftmax", "backends"} <= places


@pytest.mark.parametrize(
    ("line", "targets"),
    [
        ('run `pip install "cupy-cuda13x[ctk]"`, for', ["cupy-cuda13x[ctk]"]),
        ("pip install . && python", ["."]),
        ("pip install mpi4py mpich", ["mpi4py", "mpich"]),
        ('pip install -e ".[test]" -c .ci/oldest.txt', [".[test]"]),
    ],
)
def test_lines_are_read_as_a_shell_does(line, targets):
    assert list(installed_by(line)) == targets


@pytest.mark.parametrize(
    "target", ["sksoftmax", "sksoftmax[numba]", ".[nunba]", "nunba", "cupy-cuda13x[cdk]"]
)
def test_what_cannot_be_carried_out_is_found(target, project):
    assert fault_of(target, *project)
