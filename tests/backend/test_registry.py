"""Backends by name, with distributions that are installed for real in folders of their own.

Among them is the small third-party backend beside this file, built and installed by pip.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris

from sksoftmax import SoftmaxClassifier, get_backend, list_backends
from sksoftmax.backend.registry import registered_names
from sksoftmax.testing import check_backend

THIRD_PARTY = Path(__file__).parent / "third_party_backend"


@pytest.fixture(scope="module")
def third_party_folder(tmp_path_factory):
    """The folder that pip has installed the third-party backend into."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--target", folder, THIRD_PARTY]
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--no-compile"]
    done = subprocess.run(
        [*command, *offline, "--quiet", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def third_party(third_party_folder, monkeypatch):
    """The third-party backend's name, while it is installed."""
    monkeypatch.syspath_prepend(third_party_folder)
    yield "transposed"
    sys.modules.pop("sksoftmax_transposed", None)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution with one entry point and one module of the given source."""

    def install(distribution, name, target, source=None):
        site = tmp_path / distribution
        metadata = site / f"{distribution}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        (metadata / "entry_points.txt").write_text(f"[sksoftmax.backends]\n{name} = {target}\n")
        module = target.split(":")[0]
        if source is not None:
            (site / f"{module}.py").write_text(source)
            monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.syspath_prepend(site)

    return install


def info_of(name):
    (info,) = (info for info in list_backends() if info.name == name)
    return info


def test_third_party_backend_is_found_and_listed(third_party, third_party_folder):
    assert third_party in registered_names()
    assert "sksoftmax_transposed" not in sys.modules
    assert get_backend(third_party).name == third_party
    module = sys.modules["sksoftmax_transposed"]
    assert Path(module.__file__).is_relative_to(third_party_folder)
    info = info_of(third_party)
    assert (info.available, info.reason) == (True, "")
    assert (info.version, info.device) == ("1.2.3", "CPU")


@pytest.mark.parametrize("batch_size", [32, 150])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_third_party_backend_agrees_with_numpy(third_party, batch_size, n_classes):
    X, y = load_iris(return_X_y=True)
    y = np.minimum(y, n_classes - 1)
    weights = np.random.default_rng(0).exponential(size=len(y))
    common = {"batch_size": batch_size, "max_iter": 20, "tol": None, "random_state": 0}
    fits = {}
    for name in (third_party, "numpy"):
        clf = SoftmaxClassifier(backend=name, **common).fit(X, y, weights)
        fits[name] = clf.partial_fit(X[:50], y[:50], sample_weight=weights[:50])
        assert clf.backend_ == name
    ours, numpys = fits.values()
    np.testing.assert_allclose(ours.coef_, numpys.coef_, rtol=1e-8)
    np.testing.assert_allclose(ours.intercept_, numpys.intercept_, rtol=1e-8)
    np.testing.assert_allclose(ours.loss_curve_, numpys.loss_curve_, rtol=1e-10)


def test_a_fit_goes_on_where_another_backend_stopped(third_party):
    X, y = load_iris(return_X_y=True)
    clf = SoftmaxClassifier(batch_size=32, max_iter=5, tol=None, random_state=0)
    whole = clf.set_params(backend="numpy", max_iter=10).fit(X, y).coef_
    clf.set_params(backend=third_party, max_iter=5).fit(X, y)
    clf.set_params(backend="numpy", warm_start=True).fit(X, y)
    np.testing.assert_allclose(clf.coef_, whole, rtol=1e-8)


def test_third_party_backend_follows_the_reference(third_party):
    reports = check_backend(get_backend(third_party))
    refused = {report.name: report.refused for report in reports if report.refused}
    of_one_model = [report for report in reports if "models" not in report.name]
    assert sum(bool(report.refused) for report in of_one_model) < len(of_one_model) / 2
    assert refused
    reasons = (
        "one model at a time",
        "heavy-ball SGD only",
        "no absolute penalty",
        "dense arrays only",
    )
    assert all(any(part in why for part in reasons) for why in refused.values())


def test_third_party_backend_from_another_process(third_party_folder):
    script = (
        f"import sys; sys.path.insert(0, {str(third_party_folder)!r})\n"
        "from sksoftmax import SoftmaxClassifier, list_backends\n"
        "assert 'transposed' in [info.name for info in list_backends() if info.available]\n"
        "clf = SoftmaxClassifier(backend='transposed').fit([[0], [1], [2]], [0, 0, 1])\n"
        "print(clf.backend_, clf.predict([[-5], [5]]).tolist())\n"
    )
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.split("\n") == ["transposed [0, 1]", ""], done.stderr


def test_a_refusal_reaches_the_user(third_party):
    X, y = load_iris(return_X_y=True)

    class Choosy(type(get_backend(third_party))):
        def supports(self, problem):
            return f"{problem.n_classes} classes are too many."

    message = "Backend 'transposed' cannot train this: 3 classes are too many."
    with pytest.raises(ValueError, match=message):
        SoftmaxClassifier(backend=Choosy()).fit(X, y)


def test_unknown_name_says_what_can_be_used_and_what_the_others_lack(third_party, install):
    install("gpu-dist", "gpus", "gpus_backend:Backend", "raise RuntimeError('no device')")
    with pytest.raises(ValueError, match="Unknown backend 'gpu'") as caught:
        get_backend("gpu")
    usable, lacking = str(caught.value).split("can be used here: ")[1].split(".", 1)
    assert {"numpy", third_party} <= set(usable.split(", "))
    assert usable.split(", ") == [info.name for info in list_backends() if info.available]
    assert "'gpus' cannot: RuntimeError: no device" in lacking


def test_unknown_name_where_nothing_is_installed(monkeypatch):
    # As where the package is imported from a folder that pip knows nothing of.
    monkeypatch.setattr("sksoftmax.backend.registry.entry_points", lambda group: ())
    monkeypatch.syspath_prepend(
        "nothing is installed here"
    )  # what was found is looked for anew
    with pytest.raises(ValueError, match=r"None is registered: run `pip install \.` in the"):
        get_backend("numpy")
    with pytest.raises(RuntimeError, match=r"'auto' has found none. None is registered"):
        SoftmaxClassifier().fit([[0.0], [1.0]], [0, 1])


def test_two_targets_for_one_name(install):
    install("red-dist", "colour", "red_backend:Backend")
    install("blue-dist", "colour", "blue_backend:Backend")
    assert registered_names().count("colour") == 1
    message = "Backend 'colour' is registered more than once"
    with pytest.raises(ValueError, match=message) as caught:
        get_backend("colour")
    assert "red_backend:Backend (from red-dist)" in str(caught.value)
    assert "blue_backend:Backend (from blue-dist)" in str(caught.value)
    info = info_of("colour")
    assert not info.available
    assert "red-dist" in info.reason
    assert "blue-dist" in info.reason


def test_one_target_registered_twice_is_one_backend(install):
    # As when an old installation's metadata lie beside the new one's.
    install("old-dist", "again", "sksoftmax_numpy:NumpyBackend")
    install("new-dist", "again", "sksoftmax_numpy:NumpyBackend")
    assert get_backend("again").name == "numpy"


BROKEN = {
    "library is missing": ("import no_such_library", ImportError, "no_such_library"),
    "import fails": ("raise RuntimeError('no device')", RuntimeError, "no device"),
    "class is missing": ("", AttributeError, "Backend"),
    "construction fails": (
        "class Backend:\n    def __init__(self): raise OSError('no driver')",
        OSError,
        "no driver",
    ),
    "methods are missing": (
        "class Backend:\n    name = version = device = 'x'\n    def place(self, X): ...",
        TypeError,
        r"Backend 'broken' \(broken_backend:Backend\) lacks part of",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_backend(install, case):
    source, error, message = BROKEN[case]
    install("broken-dist", "broken", "broken_backend:Backend", source)
    with pytest.raises(error, match=message):
        get_backend("broken")
    info = info_of("broken")
    assert (info.available, info.version, info.device) == (False, "", "")
    assert info.reason.startswith(f"{error.__name__}: ") or error is ImportError
    assert message in info.reason or error is TypeError
    assert info_of("numpy").available


def test_names_are_registered_without_an_import(install):
    install("lazy-dist", "lazy", "lazy_backend:Backend", "raise AssertionError('imported')")
    assert "lazy" in registered_names()
    assert get_backend("numpy").name == "numpy"
    assert "lazy_backend" not in sys.modules


def test_importing_sksoftmax_loads_no_backend():
    script = (
        "import sys, sksoftmax, sksoftmax.backend.registry as registry\n"
        "assert 'numpy' in registry.registered_names()\n"
        "loaded = [name for name in sys.modules if name.startswith('sksoftmax_')]\n"
        "print(loaded, 'cupy' in sys.modules, 'numba' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[] False False\n", done.stderr


def test_without_pytorch_the_line_to_install_it_is_named():
    script = (
        "import sys\n"
        "from sksoftmax import list_backends\n"
        "sys.modules['torch'] = None  # as where it is not installed\n"
        "print({info.name: info.reason for info in list_backends()}['torch'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "`pip install torch`" in done.stdout, done.stderr
