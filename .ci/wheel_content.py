"""Compare the files of a wheel with those that Git tracks in the packages.

A file that is missing, or one too many, is a failure. Run it in the root of a clone:
python .ci/wheel_content.py dist/NAME.whl
"""

import subprocess
import sys
from pathlib import PurePosixPath
from zipfile import ZipFile

PACKAGES = (
    "sksoftmax",
    "sksoftmax_cupy",
    "sksoftmax_numba",
    "sksoftmax_numpy",
    "sksoftmax_torch",
)
METADATA = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}


def tracked():
    """Files of the packages, as Git knows them, each by its path in the wheel."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "sksoftmax", "backends"],
        check=True,
        capture_output=True,
        text=True,
    )
    return {name.removeprefix("backends/") for name in listed.stdout.split("\0") if name}


def in_wheel(path):
    """Files of the packages, and those of the metadata without the folder's name."""
    with ZipFile(path) as wheel:
        names = {name for name in wheel.namelist() if not name.endswith("/")}
    metadata = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    return names - metadata, {name.split("/", 1)[1] for name in metadata}


def differences(path):
    """One line for each file that is missing, or that does not belong into the wheel."""
    expected = tracked()
    files, metadata = in_wheel(path)
    # Git itself may have lost what the packages cannot do without.
    needed = {f"{package}/__init__.py" for package in PACKAGES} | {"sksoftmax/py.typed"}
    lines = [f"Git does not track: {name}" for name in sorted(needed - expected)]
    suffixes = {PurePosixPath(name).suffix for name in expected}
    lines += [
        f"Git tracks no file {suffix}" for suffix in (".cu", ".cuh") if suffix not in suffixes
    ]
    lines += [f"not in the wheel: {name}" for name in sorted(expected - files)]
    lines += [f"should not be in the wheel: {name}" for name in sorted(files - expected)]
    lines += [f"metadata differ: {name}" for name in sorted(metadata ^ METADATA)]
    return lines


if __name__ == "__main__":
    found = differences(sys.argv[1])
    print(
        "\n".join(found)
        or f"The wheel holds {len(tracked())} files of the packages, all of them."
    )
    sys.exit(bool(found))
