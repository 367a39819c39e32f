"""The quickstart, run as a user runs it: on digits, on MNIST, and on MNIST that is broken.

Whatever is wrong with the data must end in one line that says what to do, and in status 1.
The README's Python runs here too.
"""

import gzip
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "examples" / "quickstart.py"
IMAGES = "train-images-idx3-ubyte"
LABELS = "t10k-labels-idx1-ubyte"
FILES = [IMAGES, "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", LABELS]


def run(*arguments, **environment):
    """Run the script where no MNIST is known; a None takes a variable away."""
    settings = {**os.environ, "SKSOFTMAX_MNIST": None, **environment}
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        env={name: str(value) for name, value in settings.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=120,
    )


def assert_one_line(result, *words):
    assert result.returncode == 1, result.stderr
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    for word in ("quickstart: ", "SKSOFTMAX_MNIST", *words):
        assert word in result.stderr


def accuracy(result):
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return float(re.search(r"^accuracy: (\S+)$", result.stdout, re.MULTILINE)[1])


def idx(array):
    """An IDX file of bytes."""
    return (
        bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
    )


@pytest.fixture(scope="module")
def sound():
    """Name and content of four sound files, the images gzipped; each digit lights a pixel."""
    files = {}
    for part, n_rows in {"train": 60_000, "t10k": 10_000}.items():
        labels = (np.arange(n_rows) % 10).astype(np.uint8)
        images = np.zeros((n_rows, 28, 28), np.uint8)
        images[np.arange(n_rows), 5, labels] = 200
        files[f"{part}-images-idx3-ubyte.gz"] = gzip.compress(idx(images), 1)
        files[f"{part}-labels-idx1-ubyte"] = idx(labels)
    return files


def write(folder, files):
    for name, content in files.items():
        (folder / name).write_bytes(content)


def spoiled(content, position, value):
    return content[:position] + bytes([value]) + content[position + 1 :]


def test_digits():
    result = run()
    assert accuracy(result) > 0.95
    assert re.search(r"^fit: \d+\.\d\d s, \d+ epochs, backend \w+$", result.stdout, re.M)
    assert "f1-score" in result.stdout


@pytest.mark.slow
@pytest.mark.mnist
@pytest.mark.skipif(not os.environ.get("SKSOFTMAX_MNIST"), reason="SKSOFTMAX_MNIST is unset")
def test_mnist():
    folder = os.environ["SKSOFTMAX_MNIST"]
    result = run("--data", "mnist", SKSOFTMAX_MNIST=folder)
    assert accuracy(result) > 0.92
    assert "mnist: 60000 rows to train on, 10000 to test on" in result.stdout


@pytest.mark.slow
def test_plain_and_gzipped_files(tmp_path, sound):
    write(tmp_path, sound)
    result = run("--data", "mnist", SKSOFTMAX_MNIST=tmp_path)
    assert accuracy(result) == 1


def test_a_folder_without_the_files(tmp_path):
    result = run("--data", "mnist", SKSOFTMAX_MNIST=tmp_path / "nowhere")
    assert_one_line(result, str(tmp_path / "nowhere"), IMAGES, "unset it to download")


def test_a_truncated_download(tmp_path, sound):
    name = f"{IMAGES}.gz"
    write(tmp_path, sound | {name: sound[name][:-1000]})
    result = run("--data", "mnist", SKSOFTMAX_MNIST=tmp_path)
    assert_one_line(result, str(tmp_path / name), "intact copy")


ONE_SHORT = idx(np.zeros(9_999, np.uint8))
DAMAGES = {
    "not gzipped": (f"{IMAGES}.gz", lambda _: b"<html>404</html>", "Not a gzipped file"),
    "no gzip at all": (f"{IMAGES}.gz", lambda _: b"", "starts with"),
    "spoiled deflate": (f"{IMAGES}.gz", lambda c: spoiled(c, 10, 0xFF), "decompressing"),
    "wrong checksum": (f"{IMAGES}.gz", lambda c: spoiled(c, -8, c[-8] ^ 1), "CRC"),
    "labels for images": (IMAGES, lambda _: ONE_SHORT, "00000801, not 00000803"),
    "signed bytes": (LABELS, lambda c: spoiled(c, 2, 9), "00000901"),
    "empty": (LABELS, lambda _: b"", "starts with"),
    "half a header": (LABELS, lambda c: c[:6], "within its header"),
    "other sizes": (LABELS, lambda _: ONE_SHORT, "(9999,), not (10000,)"),
    "one byte short": (LABELS, lambda c: c[:-1], "9999 bytes"),
    "one byte long": (LABELS, lambda c: c + b"\0", "10001 bytes"),
    "a label of ten": (LABELS, lambda c: spoiled(c, 500, 10), "label 10"),
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file(tmp_path, sound, damage):
    name, spoil, reason = DAMAGES[damage]
    write(tmp_path, sound | {name: spoil(sound.get(name, b""))})
    result = run("--data", "mnist", SKSOFTMAX_MNIST=tmp_path)
    assert_one_line(result, f"cannot read {tmp_path / name}", reason)


@pytest.mark.slow
@pytest.mark.parametrize("missing", FILES)
def test_a_missing_file(tmp_path, sound, missing):
    write(tmp_path, {name: c for name, c in sound.items() if not name.startswith(missing)})
    result = run("--data", "mnist", SKSOFTMAX_MNIST=tmp_path)
    assert_one_line(result, f"{missing} nor {missing}.gz")


@pytest.mark.slow
def test_a_folder_in_place_of_a_file(tmp_path):
    (tmp_path / IMAGES).mkdir()
    result = run("--data", "mnist", SKSOFTMAX_MNIST=tmp_path)
    assert_one_line(result, f"cannot read {tmp_path / IMAGES}")


def test_no_network(tmp_path):
    # A port that is bound but not listened on refuses connections while it is ours, so the
    # test neither needs a network nor can reach one.
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{closed.getsockname()[1]}"
        proxies = {f"{scheme}_proxy": proxy for scheme in ("http", "https", "all")}
        upper = {name.upper(): None for name in [*proxies, "no_proxy"]}
        result = run(
            "--data", "mnist", **proxies, **upper, no_proxy=None, SCIKIT_LEARN_DATA=tmp_path
        )
    assert_one_line(result, "check the network", "refused")


def test_the_code_in_the_readme():
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    scope = {}
    for block in blocks:
        exec(block, scope)
    assert scope["clf"].score(scope["X_test"], scope["y_test"]) > 0.9
    assert scope["search"].score(scope["X_test"], scope["y_test"]) > 0.9
    assert scope["stream"].score(scope["X_test"], scope["y_test"]) > 0.9
