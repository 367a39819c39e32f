"""Rows, labels and weights in all the forms in which a caller may pass them.

A form is a name; what it is made of is a table of float64 numbers. This module must not know
what is trained.
"""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from scipy import sparse
from sklearn.utils.fixes import parse_version

DTYPES = ["f8", "f4", "f2", "g", ">f8", ">f4", "i1", "u1", "i2", "u4", "i8", "u8", "?", "O"]
DTYPES += ["U", "M8[s]", "m8[s]"]
SPARSE_DTYPES = ["f8", "f4", "i1", "u2", "i4", "i8", "?"]
VALUES = [
    "normal",
    "digits",
    "rare",
    "offset",
    "outlier",
    "tiny",
    "huge",
    "mixed units",
    "zeros",
]
LAYOUTS = ["C", "F", "strided", "backwards", "read-only", "repeated", "list"]
FRAMES = ["pandas", "pandas mixed", "pandas nullable", "pandas sparse", "pandas categories"]
FRAMES += ["polars", "polars text", "pyarrow"]
if parse_version(pl.__version__) >= parse_version("1.10"):
    # Older ones cannot build the first, and end the process as NumPy reads the second.
    FRAMES += ["polars decimals", "polars dates"]
FORMATS = ["csr", "csc", "coo", "bsr", "dia", "lil", "dok"]
TWISTS = ["none", "none", "unsorted", "duplicates", "long indices", "explicit zeros", "room"]
LABELS = ["integers", "text", "booleans", "floats", "objects", "list", "series", "dates"]
WEIGHTS = ["none", "none", "ones", "random", "zeros", "float32", "tiny", "huge"]

X_FLAWS = ["NaN", "infinity", "complex", "words", "one dimension", "no rows", "short"]
SPARSE_FLAWS = ["indices", "indptr", "data"]
Y_FLAWS = ["NaN", "NaT", "continuous", "short", "None"]
WEIGHT_FLAWS = ["negative", "NaN", "short", "all zero", "out of range"]


def table(values, n_rows, n_features, rng):
    """Numbers as float64, among them a constant column now and then."""
    X = rng.normal(size=(n_rows, n_features))
    if values == "digits":
        X = rng.integers(0, 10, size=X.shape).astype(float)
    elif values == "rare":
        X = np.where(rng.random(X.shape) < 0.1, np.round(4 * X), 0.0)
    elif values == "offset":
        X += 1000
    elif values == "outlier":
        X[0] *= 1e6
    elif values in ("tiny", "huge"):
        X *= 1e-170 if values == "tiny" else 1e170
    elif values == "mixed units":
        X *= 10.0 ** rng.integers(-30, 30, size=n_features)
    elif values == "zeros":
        X *= 0
    if rng.random() < 0.2:
        X[:, 0] = 3
    return X


def as_rows(numbers, form):
    """Rows in a form, and the numbers that they hold, as float64."""
    kind, dtype = form["kind"], form["dtype"]
    if kind == "frame":
        return _frame(numbers, form["container"], dtype)
    array = _cast(numbers, dtype)
    exact = array.astype(np.float64)
    if kind == "sparse":
        return _sparse(array, form), exact
    return _laid_out(array, form["container"]), exact


def _cast(numbers, dtype):
    """Numbers in a dtype; those of integers and dates are in a small range."""
    if dtype == "U":
        return numbers.astype(str)
    if np.dtype(dtype).kind in "iumM?":
        wide = np.clip(np.round(numbers * 3), -100, 100)
        if np.dtype(dtype).kind == "u":
            wide = np.abs(wide)
        return wide.astype(np.int64).astype(dtype)
    with np.errstate(over="ignore"):
        return numbers.astype(dtype)


def _laid_out(array, layout):
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "strided":
        wide = np.empty((2 * len(array), 3 * array.shape[1]), array.dtype)
        wide[::2, ::3] = array
        return wide[::2, ::3]
    if layout == "backwards":
        return np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1]
    if layout == "read-only":
        array.flags.writeable = False
    if layout == "repeated" and array.shape[1] == 1:
        return np.broadcast_to(array, (len(array), 1))
    if layout == "list":
        return array.tolist() if array.dtype.kind not in "mM" else list(array)
    return array


def _frame(numbers, container, dtype):
    names = [f"feature {j}" for j in range(numbers.shape[1])]
    columns = dict(zip(names, _cast(numbers, dtype).T, strict=True))
    if container == "pandas mixed":
        columns[names[0]] = columns[names[0]].astype(np.float32)
    if container in ("pandas nullable", "pandas categories", "polars decimals", "polars dates"):
        numbers = np.clip(np.round(3 * numbers), -100, 100)
        columns = dict(zip(names, numbers.astype(int).T, strict=True))
    if container == "pandas nullable":
        frame = pd.DataFrame({n: pd.array(c, dtype="Int64") for n, c in columns.items()})
    elif container == "pandas sparse":
        frame = pd.DataFrame(
            {
                n: pd.arrays.SparseArray(c, fill_value=c.dtype.type(0))
                for n, c in columns.items()
            }
        )
    elif container == "pandas categories":
        frame = pd.DataFrame({n: pd.Categorical(c) for n, c in columns.items()})
    elif container.startswith("pandas"):
        frame = pd.DataFrame(columns)
    elif container == "polars decimals":
        frame = pl.DataFrame({n: [Decimal(int(v)) / 4 for v in c] for n, c in columns.items()})
        return frame, numbers / 4
    elif container == "polars dates":
        first = datetime.date(1970, 1, 1)
        frame = pl.DataFrame(
            {n: [first + datetime.timedelta(int(v)) for v in c] for n, c in columns.items()}
        )
    elif container == "polars text":
        frame = pl.DataFrame({n: (c * 1).astype(str).tolist() for n, c in columns.items()})
    else:
        frame = (pa.table if container == "pyarrow" else pl.DataFrame)(columns)
    exact = np.column_stack([np.asarray(c).astype(np.float64) for c in columns.values()])
    return frame, exact


def _sparse(array, form):
    dense = sparse.coo_array if form["is_array"] else sparse.coo_matrix
    rows = dense(array).asformat(form["container"])
    twist = form["twist"]
    if form["container"] == "csr":
        if twist == "unsorted":
            for start, stop in zip(rows.indptr[:-1], rows.indptr[1:], strict=True):
                rows.indices[start:stop] = rows.indices[start:stop][::-1].copy()
                rows.data[start:stop] = rows.data[start:stop][::-1].copy()
        elif twist == "duplicates" and rows.dtype.kind == "f":
            data, indices = np.repeat(rows.data / 2, 2), np.repeat(rows.indices, 2)
            rows = type(rows)((data, indices, 2 * rows.indptr), shape=rows.shape)
        elif twist == "long indices":
            rows.indices = rows.indices.astype(np.int64)
            rows.indptr = rows.indptr.astype(np.int64)
        elif twist == "room":
            rows.indices = np.append(rows.indices, rows.indices.dtype.type(2**30))
            rows.data = np.append(
                rows.data, rows.data[:1] if len(rows.data) else rows.dtype.type(1)
            )
    if twist == "explicit zeros" and form["container"] in ("csr", "csc", "coo"):
        full = sparse.coo_array(np.ones_like(array)).asformat(form["container"])
        full.data = array.T.ravel() if form["container"] == "csc" else array.ravel().copy()
        return full
    return rows


def as_labels(codes, form):
    """Labels of classes, and the classes in order."""
    names = np.array(["ash", "birch", "cedar", "dogwood"])
    if form == "text":
        return names[codes]
    if form == "objects":
        return names[codes].astype(object)
    if form == "booleans":
        return codes > 0
    if form == "floats":
        return codes.astype(float)
    if form == "list":
        return names[codes].tolist()
    if form == "series":
        return pd.Series(names[codes])
    if form == "dates":
        return codes.astype("M8[D]")
    return codes


def as_weights(form, n_rows, rng):
    """Weights of the rows."""
    if form == "none":
        return None
    if form == "ones":
        return np.ones(n_rows, int)
    weights = rng.exponential(size=n_rows) + 0.1
    if form == "zeros":
        weights[rng.random(n_rows) < 0.3] = 0
    if form == "float32":
        return weights.astype(np.float32)
    return weights * {"tiny": 1e-200, "huge": 1e200}.get(form, 1.0)


def spoilt_rows(numbers, flaw, form, rng):
    """Rows that must be refused."""
    numbers = numbers.copy()
    row = int(rng.integers(len(numbers)))
    if flaw in ("NaN", "infinity"):
        numbers[row, -1] = np.nan if flaw == "NaN" else -np.inf
        if form["kind"] == "sparse":
            return as_rows(numbers, {**form, "dtype": "f8"})[0]
        return numbers if form["kind"] == "array" else pd.DataFrame(numbers)
    if flaw == "complex":
        return numbers + 1j
    if flaw == "words":
        words = np.full(numbers.shape, "some")
        return words if form["kind"] == "array" else pl.DataFrame(words)
    if flaw == "one dimension":
        return numbers[:, 0]
    if flaw == "no rows":
        return numbers[:0]
    if flaw == "short":
        return numbers[:-1]
    matrix = sparse.coo_array(np.where(numbers == 0, 1, numbers))
    matrix = matrix.asformat(str(rng.choice(["csr", "csc"])))
    if flaw == "indices":
        matrix.indices[rng.integers(matrix.nnz)] = rng.choice([-1, -(2**31), 2**31 - 1, 500])
    elif flaw == "indptr":
        matrix.indptr[rng.integers(1, len(matrix.indptr))] = rng.choice([-5, 2**31 - 1])
    else:
        matrix.data = matrix.data[:-1]
    return matrix


def spoilt_labels(codes, flaw):
    """Labels that must be refused."""
    if flaw == "short":
        return codes[:-1]
    if flaw == "continuous":
        return codes + 0.25
    labels = codes.astype({"NaN": float, "NaT": "M8[s]", "None": object}[flaw])
    labels[len(labels) // 2] = {"NaN": np.nan, "NaT": "NaT", "None": None}[flaw]
    return labels


def spoilt_weights(n_rows, flaw):
    """Weights that must be refused."""
    weights = np.ones(n_rows - (flaw == "short"))
    if flaw in ("negative", "NaN"):
        weights[0] = -1 if flaw == "negative" else np.nan
    return weights * {"all zero": 0, "out of range": 1e300}.get(flaw, 1)


def digest(data):
    """What must be the same after a call: contents, dtype and layout."""
    if sparse.issparse(data):
        arrays = {k: v for k, v in vars(data).items() if isinstance(v, np.ndarray)}
        found = {name: digest(array) for name, array in sorted(arrays.items())}
        return found or str(data)
    if isinstance(data, np.ndarray):
        held = data.tolist() if data.dtype.kind == "O" else data.tobytes()
        return data.dtype.str, data.shape, data.strides, data.flags.writeable, repr(held)
    if isinstance(data, pd.DataFrame | pd.Series):
        return repr(data.to_dict()), repr(data.dtypes)
    if isinstance(data, pl.DataFrame):
        return repr(data.to_dict(as_series=False)), repr(data.schema)
    if isinstance(data, pa.Table):
        return repr(data.to_pydict()), repr(data.schema)
    return repr(data)
