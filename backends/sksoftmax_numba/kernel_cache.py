"""Compiled kernels on disk, for every later process.

A kernel is kept beside its source, or in the folder that ``NUMBA_CACHE_DIR`` names. Nothing
that may be wrong with these files stops a fit: what cannot be read is compiled anew, and what
cannot be written is compiled by each process. This module must not know how a kernel is
compiled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba.core import caching

from sksoftmax_numba.announcements import announce_compiling, warn_that_nothing_is_kept

files: Any = caching  # which Numba has not annotated


class KernelCache(files.NullCache):  # type: ignore[misc]
    """The compiled forms of one function on disk, or none where no folder can be written to.

    Parameters
    ----------
    function : callable
        The function.
    suffix : str
        To its name, for one that is compiled in two ways.
    """

    def __init__(self, function: Callable[..., Any], suffix: str):
        try:
            self._kept = files.FunctionCache(function)
        except RuntimeError:  # no folder can be written to
            self._kept = files.NullCache()
        else:
            kept = self._kept
            stamp = kept._impl.locator.get_source_stamp(), _stamp_of_kernels()
            name = kept._impl.filename_base + suffix
            kept._cache_file = CheckedFiles(kept.cache_path, name, stamp)

    @property
    def cache_path(self) -> Any:
        """The folder; None where there is none."""
        return self._kept.cache_path

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Return what was compiled for a signature; None, and say so, where it is to be.

        Parameters
        ----------
        signature, target
            As Numba gives them.

        Returns
        -------
        CompileResult or None
            None also where the files are damaged.
        """
        try:
            found = self._kept.load_overload(signature, target)
        except Exception:  # a pickle that was cut may raise anything
            found = None
        if found is None:
            announce_compiling(is_kept=self.cache_path is not None)
        return found

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep what was compiled, if the disk takes it.

        Parameters
        ----------
        signature, result
            As Numba gives them.
        """
        try:
            try:
                self._kept.save_overload(signature, result)
            except OSError:
                raise
            except Exception:  # an index that cannot be read is begun anew
                self._kept.flush()
                self._kept.save_overload(signature, result)
        except OSError:
            warn_that_nothing_is_kept()

    def flush(self) -> None:
        """Forget all that is kept of this function."""
        self._kept.flush()


class CheckedFiles(files.IndexDataCacheFile):  # type: ignore[misc]
    """Numba's files with a digest before the code: damaged code would end the process."""

    def _save_data(self, name: str, data: Any) -> None:
        content = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(hashlib.sha256(content).digest() + content)

    def _load_data(self, name: str) -> Any:
        content = Path(self._data_path(name)).read_bytes()
        digest, content = content[:32], content[32:]
        if hashlib.sha256(content).digest() != digest:
            raise ValueError(f"{name} is damaged.")
        return files.pickle.loads(content)


@cache
def _stamp_of_kernels() -> str:
    """A digest of all these modules: a kernel holds the code of those that it calls."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
