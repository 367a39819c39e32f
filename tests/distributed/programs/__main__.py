"""What the processes of test_ranks run: ``mpiexec -n N python programs NAME FOLDER``.

Each process writes what the function of that name returns to a file of FOLDER.
"""

import os
import pickle
import sys
import warnings
from pathlib import Path

if sys.argv[1] == "unlike_processors" and os.environ.get("PMI_RANK", "0") != "0":
    os.environ["OPENBLAS_CORETYPE"] = "Prescott"  # read once, as NumPy is imported

import fits
import iterations
import trouble
from shard import RANK

programs = {**vars(fits), **vars(iterations), **vars(trouble)}

if __name__ == "__main__":
    warnings.simplefilter("error")
    result = programs[sys.argv[1]]()
    (Path(sys.argv[2]) / f"{RANK}.pickle").write_bytes(pickle.dumps(result))
