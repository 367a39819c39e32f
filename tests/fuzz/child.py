"""A child process that judges one example after another, and may crash or hang.

It is started anew after either, so that an example that kills it is a failure like others.
"""

import multiprocessing


class Child:
    """Runs examples in a process of its own.

    Parameters
    ----------
    seconds : float
        How long an example may take.
    """

    def __init__(self, seconds):
        self.seconds = seconds
        self._process = None

    def judge(self, example):
        """Return what is wrong with the outcome of an example, or None."""
        if self._process is None:
            self._start()
        self._pipe.send(example)
        try:
            if self._pipe.poll(self.seconds):
                return self._pipe.recv()
            verdict = f"took more than {self.seconds} s"
        except EOFError:
            self._process.join()
            verdict = f"killed the process: exit code {self._process.exitcode}"
        self.stop()
        return verdict

    def _start(self):
        spawning = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawning.Pipe()
        self._process = spawning.Process(target=serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.recv()  # imports are done

    def stop(self):
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._process = None


def serve(pipe):
    """Judge what comes, until nothing does."""
    from fuzz.outcomes import judge

    pipe.send("ready")
    while True:
        try:
            example = pipe.recv()
        except EOFError:
            return
        try:
            verdict = judge(example)
        except Exception as error:
            verdict = f"the trial itself raised {error!r}"
        pipe.send(verdict)
