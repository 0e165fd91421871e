"""The command `joslim`: one command line, and errors as one clear line."""

import gc
import os
import sys

from keras_joslim.app.command import UsageError
from keras_joslim.app.command_line import parse
from keras_joslim.termination import Terminated, Termination

__all__ = ["UsageError", "main", "run"]


def run():
    """Entry point of the command: exits 0, or 2 after one line on what is wrong.

    After a SIGTERM, as a preemptible machine gets it, that nothing was lost by: 0 too.
    """
    end = _ended()
    # What the traceback of an error held is given up now, for a thread of `tf.data` that calls into
    # an interpreter which is about to end never comes back, and is waited for without end.
    gc.collect()
    sys.exit(end)


def _ended():
    """Runs the command line; what `sys.exit` takes."""
    try:
        with Termination():
            main(sys.argv)
    except Terminated as end:
        print(f"joslim: SIGTERM: {end}; the same command goes on", file=sys.stderr)
    except BrokenPipeError:
        # `joslim --help | head`: nobody reads on.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return "joslim: interrupted; the same command goes on from the last checkpoint"
    except Exception as error:
        if os.environ.get("JOSLIM_TRACEBACK"):
            raise
        message = " ".join(str(error).split())
        if not isinstance(error, (ValueError, ArithmeticError, OSError, RuntimeError)):
            kind = type(error).__name__
            message = f"unexpected {kind}: {message} (JOSLIM_TRACEBACK=1 shows where)"
        print(f"joslim: {message}", file=sys.stderr)
        return 2
    return 0


def main(argv):
    """Runs one command.

    Args:
        argv: the command line, program name first.

    Raises:
        UsageError: an unknown command or flag, or one that is missing.
        ValueError: what the steps raise.
    """
    parsed = parse(argv)
    if parsed is None:
        return
    command, request = parsed
    if command.loads_keras:
        _load_keras()
    command.run(request)


def _load_keras():
    """Loads TensorFlow and Keras without the lines that they write while they start."""
    if "keras" in sys.modules:
        return
    from keras_joslim.tflite.quiet import native_logs

    # Of what TensorFlow logs later: no more than warnings.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    with native_logs():
        import keras  # noqa: F401


if __name__ == "__main__":
    run()
