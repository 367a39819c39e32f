"""Settings of the Sphinx site; build it with ``sphinx-build -W docs docs/_build/html``.

Every public object is documented by its docstring alone, so the site cannot drift from it.
Nothing is fetched, neither to build the site nor to read it.
"""

import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

import sksoftmax

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "sksoftmax"
author = "the sksoftmax developers"
copyright = f"2026, {author}"
version = release = sksoftmax.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "changelog",
    "elsewhere",
    "mathml",
]
exclude_patterns = ["_build", "gallery/*.ipynb", "gallery/*.py"]
suppress_warnings = ["config.cache"]  # of the gallery's settings, which cannot be pickled
default_role = "literal"  # `alpha` in a docstring is a name of that docstring
nitpicky = True
html_math_renderer = "mathml"

autodoc_mock_imports = ["onnx", "skl2onnx"]  # of which sksoftmax.onnx needs the names alone
autodoc_typehints = "none"  # numpydoc's sections say more: shapes, ranges, defaults
maximum_signature_line_length = 96  # a longer one has a line a parameter
autodoc_member_order = "bysource"
toc_object_entries_show_parents = "hide"  # a list of contents has room for ``fit()`` alone
autosummary_generate = False
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

copybutton_exclude = ".linenos, .gp, .go"  # prompts and what was printed
copybutton_selector = "div:not(.sphx-glr-script-out) > div.highlight > pre"


def draw_for_light_and_dark(gallery_conf: dict[str, Any], file_name: str) -> None:
    """Draw without paper, and in a grey that can be read on a light page and on a dark one."""
    names = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    plt.rcParams.update(dict.fromkeys(names, "#808080"))
    plt.rcParams.update({"savefig.transparent": True, "legend.framealpha": 0})


sphinx_gallery_conf = {
    "reset_modules": ("matplotlib", draw_for_light_and_dark),
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"[\\/]plot_",
    "ignore_pattern": r"quickstart\.py",  # a command, shown in the README
    "within_subsection_order": "NumberOfCodeLinesSortKey",  # the shortest first
    "download_all_examples": False,
    "min_reported_time": 0,
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    "plot_gallery": True,
    "reference_url": {"sksoftmax": None},
    "doc_module": ("sksoftmax",),
    "backreferences_dir": None,
}
# An example that warns tells its reader to ignore warnings.
warnings.filterwarnings("error", category=UserWarning, module=r"sksoftmax|sklearn")
# What a page shows shall not depend on whether kernels had been compiled before.
logging.getLogger("sksoftmax_numba").setLevel(logging.ERROR)

html_theme = "pydata_sphinx_theme"
html_title = "sksoftmax"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_prev_next": True,
    "show_toc_level": 2,
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],  # with a field, the bar takes two lines
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {
    page: [] for page in ("index", "architecture", "benchmarks", "deployment", "gpu", "project")
}
