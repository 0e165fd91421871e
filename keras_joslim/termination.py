"""SIGTERM, as a machine gets it that is taken away: what runs is brought to a good end."""

import contextlib
import os
import signal
import sys
import threading

_NOTE = "joslim: SIGTERM: the step is finished and saved, then this ends; a second one ends at once"


class Terminated(BaseException):
    """A SIGTERM was heeded; not an `Exception`, for nothing may take it for a failure."""


class Termination:
    """Heeds SIGTERM while it is entered.

    The first one raises `Terminated` in the main thread, or, inside of `deferred`, waits until
    that asks. The second one ends the process at once, whatever TensorFlow is in the middle of.

    Attributes:
        asked: whether a SIGTERM has come.

    Example:

    >>> with Termination():
    ...     train_for_days()
    """

    def __init__(self):
        self.asked = False
        self.deferrals = 0

    def __enter__(self):
        reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._before = signal.signal(signal.SIGTERM, self)
        # Python runs a handler when the main thread is back from C, after the step. The byte that
        # it writes to this pipe is there at once.
        self._fd_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(reader,), daemon=True).start()
        return self

    def __exit__(self, *_):
        signal.set_wakeup_fd(self._fd_before)
        signal.signal(signal.SIGTERM, self._before)
        # The thread reads the end of the pipe and is gone.
        os.close(self._writer)

    def __call__(self, number, frame):
        """The handler."""
        self.asked = True
        if not self.deferrals:
            raise Terminated("stopped")

    def _watch(self, reader):
        count = 0
        with open(reader, "rb", buffering=0) as pipe:
            while received := pipe.read(64):
                first = count == 0
                count += received.count(signal.SIGTERM)
                if count > 1:
                    os._exit(128 + signal.SIGTERM)
                if count and first and self.deferrals:
                    print(_NOTE, file=sys.stderr, flush=True)


@contextlib.contextmanager
def deferred():
    """Inside, a SIGTERM is noted for the block to ask for; at its end it is heeded.

    Yields:
        A function without arguments: whether a SIGTERM has come. It says `False` for ever where no
        `Termination` is entered: signals are then none of this library's business.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if not isinstance(handler, Termination):
        yield lambda: False
        return
    if handler.asked:
        # It was raised where Python drops exceptions, such as a destructor.
        raise Terminated("stopped")
    # TensorFlow's coordination of several workers puts a handler of its own in the place.
    signal.signal(signal.SIGTERM, handler)
    handler.deferrals += 1
    try:
        yield lambda: handler.asked
    finally:
        handler.deferrals -= 1
    if handler.asked:
        raise Terminated("stopped when all steps were trained")
