"""Settings of the Sphinx site; build it with ``sphinx-build -W docs docs/_build/html``.

Every public object is documented by its docstring alone, so the site cannot drift from it.
"""

import sksoftmax

project = "sksoftmax"
author = "the sksoftmax developers"
copyright = f"2026, {author}"
version = release = sksoftmax.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
]
exclude_patterns = ["_build", "generated"]
default_role = "literal"  # `alpha` in a docstring is a name of that docstring

autodoc_mock_imports = ["onnx", "skl2onnx"]  # of which sksoftmax.onnx needs the names alone
autodoc_typehints = "none"  # numpydoc's sections say more: shapes, ranges, defaults
numpydoc_show_class_members = False
numpydoc_validation_checks = {"GL03", "GL08", "PR01", "PR02", "PR04", "RT01", "SS03"}
numpydoc_validation_exclude = {r"problem\.(Backend|Trainer)$"}  # protocols take no parameters

html_theme = "pydata_sphinx_theme"
html_title = "sksoftmax"
html_theme_options = {"show_prev_next": False}
