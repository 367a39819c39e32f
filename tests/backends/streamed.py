"""A device without a device: what stands in for CUDA's streams when X is streamed."""

import numpy as np
from emulated import OnCpu

from sksoftmax.data.rows import is_csr
from sksoftmax_cupy.stream import HostRows, StreamingTrainer
from sksoftmax_cupy.trainer import CupyTrainer


class CpuTrainer(OnCpu, CupyTrainer):
    def __init__(self, problem, state):
        super().__init__(problem, state, xp=np)


class StandInCopies:
    """Copies at once, or no sooner than somebody waits for it, and refuses what would race.

    On a device work is over when an event says so; here it is over at once, so whoever
    forgets to note a use or to wait for a copy has to be found by counting.
    """

    def __init__(self, late):
        self.late = late
        self.pending = {}
        self.awaited = {}
        self.sources = set()
        self.log = []

    def pinned(self, shape, dtype):
        return np.full(shape, 77, dtype)

    def start(self, half, source, target):
        assert half not in self.sources, "its source may still have been read"
        assert half not in self.awaited, "its half is still in use"
        self.pending[half] = source, target
        self.sources.add(half)
        self.log.append(("start", half))
        if not self.late:
            self.copy(half)

    def copy(self, half):
        source, target = self.pending.pop(half)
        target[...] = source
        self.awaited[half] = False

    def wait_on_host(self, half):
        self.sources.discard(half)

    def wait_on_device(self, half):
        if half in self.pending:
            self.copy(half)
        self.awaited[half] = True
        self.log.append(("use", half))

    def note_use(self, half):
        assert self.awaited.pop(half), "it was used before it was there"

    def finish(self):
        assert not self.pending
        assert not self.awaited


class StreamedBackend:
    """All dense X stays on the host, and comes in pieces to another backend's trainers."""

    name = "streamed"
    version = "1"
    device = "none"
    xp = np

    def __init__(self, trainer=CpuTrainer, piece_bytes=2**12, late=True):
        self.resident_trainer, self.piece_bytes, self.late = trainer, piece_bytes, late
        self.copies = []

    def place(self, X):
        return X if is_csr(X) else HostRows(X, X.dtype.newbyteorder("="), np)

    def to_numpy(self, array):
        return np.asarray(array)

    def supports(self, problem):
        return "sparse rows are not streamed" if is_csr(problem.X) else None

    def trainer(self, problem, state):
        self.copies.append(StandInCopies(self.late))
        return StreamingTrainer(
            problem,
            state,
            self.resident_trainer,
            self.copies[-1],
            xp=np,
            piece_bytes=self.piece_bytes,
        )
