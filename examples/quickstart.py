"""Train SoftmaxClassifier in a scikit-learn Pipeline, on digits or on MNIST.

Run ``python examples/quickstart.py``; with ``--data mnist`` the images come from the folder
SKSOFTMAX_MNIST names, or from OpenML when it names none.
"""

from __future__ import annotations

import argparse
import gzip
import math
import os
import socket
import sys
import time
import warnings
import zlib
from http.client import HTTPException
from pathlib import Path

import numpy as np
from sklearn.datasets import fetch_openml, load_digits
from sklearn.metrics import accuracy_score, classification_report
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sksoftmax import SoftmaxClassifier

IDX_FILES = {
    "train-images-idx3-ubyte": (60_000, 28, 28),
    "train-labels-idx1-ubyte": (60_000,),
    "t10k-images-idx3-ubyte": (10_000, 28, 28),
    "t10k-labels-idx1-ubyte": (10_000,),
}
"""The files of MNIST and the shapes of what they hold."""

TIMEOUT = 20
"""Seconds without a byte from the network after which a download is given up."""


class DataError(Exception):
    """MNIST cannot be had; the message says why, and what to do, in one line."""


def split_digits() -> list[np.ndarray]:
    """Return X_train, y_train, X_test, y_test of the digits that scikit-learn ships."""
    X, y = load_digits(return_X_y=True)
    parts = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    return [parts[i] for i in (0, 2, 1, 3)]


def load_mnist() -> list[np.ndarray]:
    """Return X_train, y_train, X_test, y_test of MNIST, pixels as uint8."""
    folder = os.environ.get("SKSOFTMAX_MNIST")
    if not folder:
        return download_mnist()
    arrays = [read_idx(Path(folder), name, shape) for name, shape in IDX_FILES.items()]
    return [a.reshape(len(a), -1) if a.ndim == 3 else a for a in arrays]


def read_idx(folder: Path, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the bytes of one IDX file, plain or gzipped, in the shape it must have."""
    path = folder / name
    if not os.path.exists(path):  # False, unlike Path.exists, where reading is forbidden
        path = folder / f"{name}.gz"
    if not os.path.exists(path):
        raise DataError(
            f"{folder} holds neither {name} nor {name}.gz; set SKSOFTMAX_MNIST to a folder"
            " with the four MNIST files, or unset it to download them"
        )
    try:
        raw = path.read_bytes()
        content = gzip.decompress(raw) if path.suffix == ".gz" else raw
        return parse_idx(content, shape)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(
            f"cannot read {path} ({error}); put an intact copy in its place, or unset"
            " SKSOFTMAX_MNIST to download MNIST"
        ) from error


def parse_idx(content: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Return the array in an IDX file of bytes; ValueError unless it has this shape."""
    # Two zeros, the code of unsigned bytes, the number of dimensions; then each size.
    header = bytes([0, 0, 8, len(shape)])
    start = len(header) + 4 * len(shape)
    if content[: len(header)] != header:
        raise ValueError(f"it starts with {content[:4].hex()}, not {header.hex()}")
    if len(content) < start:
        raise ValueError(f"it ends within its header, after {len(content)} bytes")
    sizes = tuple(np.frombuffer(content[len(header) : start], ">u4").tolist())
    if sizes != shape:
        raise ValueError(f"it holds {sizes}, not {shape}")
    if len(content) - start != math.prod(shape):
        raise ValueError(f"{len(content) - start} bytes of data, not {math.prod(shape)}")
    array = np.frombuffer(content, np.uint8, offset=start).reshape(shape)
    if array.ndim == 1 and array.max() > 9:
        raise ValueError(f"the label {array.max()} is not a digit")
    return array


def download_mnist() -> list[np.ndarray]:
    """Download MNIST, or take it from scikit-learn's cache."""
    # scikit-learn sets no timeout, and a network may swallow packets without a word.
    socket.setdefaulttimeout(TIMEOUT)
    try:
        with warnings.catch_warnings():
            # Of retries: should the last one fail, the message below says all.
            warnings.simplefilter("ignore")
            X, y = fetch_openml(
                "mnist_784",
                version=1,
                return_X_y=True,
                as_frame=False,
                parser="liac-arff",  # slower, but scikit-learn 1.9's other fails on pandas 3.1
                n_retries=1,
            )
    except (OSError, EOFError, zlib.error, ValueError, HTTPException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"cannot download MNIST from OpenML ({reason}); check the network, or set"
            " SKSOFTMAX_MNIST to a folder with the four MNIST files"
        ) from error
    X, y = X.astype(np.uint8), y.astype(np.uint8)
    return [X[:60_000], y[:60_000], X[60_000:], y[60_000:]]


def main(arguments: list[str] | None = None) -> None:
    """Load the data, fit, and print what came out."""
    parser = argparse.ArgumentParser(description="Softmax regression on handwritten digits.")
    parser.add_argument("--data", choices=["digits", "mnist"], default="digits")
    options = parser.parse_args(arguments)
    try:
        data = split_digits() if options.data == "digits" else load_mnist()
    except DataError as error:
        sys.exit(f"quickstart: {error}.")
    X_train, y_train, X_test, y_test = data

    # A faint image and a bold one of the same digit shall look alike: each gets length 1.
    # The pixels themselves need no scaling, and the step size no tuning.
    model = make_pipeline(Normalizer(), SoftmaxClassifier(random_state=0))
    start = time.perf_counter()
    model.fit(X_train, y_train)
    seconds = time.perf_counter() - start

    classifier = model[-1]
    predicted = model.predict(X_test)
    print(f"{options.data}: {len(X_train)} rows to train on, {len(X_test)} to test on")
    print(f"fit: {seconds:.2f} s, {classifier.n_iter_} epochs, backend {classifier.backend_}")
    print(f"accuracy: {accuracy_score(y_test, predicted):.4f}")
    print(classification_report(y_test, predicted, digits=3))


if __name__ == "__main__":
    main()
