"""Reads pickles of numpy arrays, and nothing else that a pickle can do.

A pickle may name any function to be called while it is read. The files of CIFAR name three
things of numpy; everything else is refused before it runs.
"""

import io
import pickle

import numpy as np


def _encode(text, encoding):
    """Python 3 writes bytes in old protocols as a call of this with latin1."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it encodes text as {encoding!r}")
    return text.encode("latin1")


_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ALLOWED = {
    # Where numpy's constructor was, in the years that these files were written, and is.
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it calls {module}.{name}, which no file of arrays needs"
            ) from None


def read_array_pickle(data):
    """The object in a pickle of dicts, lists, numbers, strings and numpy arrays.

    Args:
        data: bytes, as written by Python 2 or 3. Text of Python 2 comes out as bytes.

    Raises:
        pickle.UnpicklingError: not a pickle, cut short, damaged, or one that calls
            anything else than numpy's constructors (which is then not called).

    Example:

    >>> read_array_pickle(pickle.dumps({"labels": [6, 9]}))
    {'labels': [6, 9]}
    """
    try:
        return _ArrayUnpickler(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:
        # Damaged bytes can end in almost any exception, some with a text of several lines.
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise pickle.UnpicklingError(reason) from error
