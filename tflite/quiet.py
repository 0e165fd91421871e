"""Keeps the chatter of native libraries off the terminal, and only the chatter.

TensorFlow's C++ code writes its log straight to file descriptor 2; the converter adds a dozen
lines a file to it. Those of severity info and warning are dropped; every other line is written
out afterwards, and if the block raises, all of them are, unless the caller has put what they say
into its own message.
"""

import contextlib
import logging
import os
import re
import sys
import tempfile

# absl's C++ prefix ("I0000 00:00:1700000000.0 ..."), its banner, TFLite's own logger, and what the
# converter prints of the settings of a full int8 file.
CHATTER = re.compile(
    r"^([IW]\d{4} |WARNING: All log messages before absl|INFO: |WARNING: |fully_quantize: \d)"
)
# Python-side loggers that announce each file of a SavedModel.
_LOGGERS = ("tensorflow", "absl")


class Captured:
    """What the block wrote on the native standard error.

    Attributes:
        told: set it to True when the message of the exception says it all.
    """

    def __init__(self):
        self.told = False


@contextlib.contextmanager
def native_logs():
    """Drops native info and warning lines written inside the block.

    The redirection holds for the whole process, other threads too.

    Yields:
        A `Captured`.

    Example:

    >>> with native_logs():
    ...     data = converter.convert()
    """
    captured = Captured()
    sys.stderr.flush()
    with contextlib.ExitStack() as stack:
        try:
            real = os.dup(2)
        except OSError:
            # A process without standard error (a daemon) has no chatter to keep away.
            yield captured
            return
        stack.callback(os.close, real)
        stack.enter_context(_quiet_loggers())
        file = stack.enter_context(tempfile.TemporaryFile())
        os.dup2(file.fileno(), 2)
        failed = True
        try:
            yield captured
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(real, 2)
            file.seek(0)
            lines = file.read().decode(errors="replace").splitlines(keepends=True)
            if not failed:
                lines = [line for line in lines if not CHATTER.match(line)]
            if lines and not captured.told:
                os.write(2, "".join(lines).encode())


@contextlib.contextmanager
def _quiet_loggers():
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(max(logger.level, logging.ERROR))
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
