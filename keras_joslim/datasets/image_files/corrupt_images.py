"""Images that cannot be read: each named once, skipped, and the end of the run if they are many."""

import contextlib
import threading

import tensorflow as tf
from absl import logging


class CorruptImages:
    """Counts the images of a data set that could not be read.

    Args:
        limit: how many are skipped; one more is an error.

    Attributes:
        limit: as given.

    Raises:
        ValueError: a limit that is no whole number from 0.

    Example:

    >>> data.corrupt.summary()
    '1 unreadable image was left out: n01440764/n01440764_10026.JPEG (Invalid JPEG data).'
    """

    def __init__(self, limit=100):
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
            raise ValueError(f"max_corrupt is a whole number from 0. Received: max_corrupt={limit}")
        self.limit = limit
        self._reasons = {}
        self._refusal = None
        self._lock = threading.Lock()

    @property
    def names(self):
        """What was skipped so far, in the order in which it was met."""
        return tuple(self._reasons)

    def __len__(self):
        return len(self._reasons)

    def __contains__(self, name):
        return name in self._reasons

    def add(self, name, reason):
        """Notes an image; logs it if it is new.

        Raises:
            ValueError: it is one more than the limit.
        """
        # Several threads read images.
        with self._lock:
            if name in self._reasons:
                return
            self._reasons[name] = reason
        logging.warning("Left out an image that cannot be read: %s (%s)", name, reason)
        self.refuse_too_many()

    def refuse_too_many(self):
        """Asked whenever one is met, also one that is known: the first time may have been in vain.

        What is read ahead may be thrown away unseen, and an error with it.

        Raises:
            ValueError: there are more than the limit.
        """
        if len(self) > self.limit:
            self.refuse(
                f"More than max_corrupt={self.limit} images cannot be read, the last of them "
                f"{self._told(self.names[-1])}. Replace these files, or allow more by "
                "--config.data.max_corrupt=..."
            )

    def refuse(self, text):
        """Ends what reads the images by an error of this text."""
        self._refusal = text
        raise ValueError(text)

    @contextlib.contextmanager
    def as_value_error(self):
        """Tells of too many unreadable images by the `ValueError` alone.

        Raised within `tf.data` it comes as an error of TensorFlow, with the story of a graph.
        """
        try:
            yield
        except tf.errors.OpError:
            if self._refusal is None:
                raise
            raise ValueError(self._refusal) from None

    def summary(self):
        """One line with the first names; empty if every image could be read."""
        if not self._reasons:
            return ""
        count, names = len(self), self.names
        more = f", and {count - 3} more" if count > 3 else ""
        listed = ", ".join(map(self._told, names[:3]))
        verb = "image was" if count == 1 else "images were"
        return f"{count} unreadable {verb} left out: {listed}{more}."

    def _told(self, name):
        return f"{name} ({self._reasons[name]})"
