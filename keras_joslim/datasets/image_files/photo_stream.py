"""Training batches from image files, each a pure function of (seed, step)."""

import threading

import numpy as np
import tensorflow as tf

from keras_joslim.datasets.image_files.pipeline import GROUP, as_written, on_host, read_images
from keras_joslim.datasets.stream_arguments import check_step, check_stream, worker_part

# So many images are tried for a place in a batch before the run gives up.
_CANDIDATES = 8


class PhotoStream:
    """Endless training batches of images that are read when they are needed.

    As `Stream`, of images in memory: epoch `e` runs through the images in the order
    `numpy.random.default_rng([seed, e]).permutation(n)`, images that do not fill a last batch are
    left out of that epoch, and augmentation is seeded by (seed, step, place in the batch). An image
    that cannot be read is replaced by one from elsewhere in the same epoch's order, the same in
    every run. So the data position of a run is one int, the step.

    Args:
        split: `FileSplit`.
        batch_size: images a batch, at most `len(split)`.
        seed: int, at least 0.
        augment: `PhotoAugmentation`; None for what networks are evaluated on.

    Raises:
        ValueError: a batch size or seed out of range, another augmentation.
    """

    def __init__(self, split, batch_size, seed, augment=None):
        check_stream(batch_size, seed, len(split))
        if augment is not None and not isinstance(augment, split.augmentation):
            raise ValueError(
                f"Images from files take {split.augmentation.__name__} or None. "
                f"Received: augment={augment!r}"
            )
        self.batch_size = int(batch_size)
        self.seed = int(seed)
        self.augment = augment
        self._split = split
        self._decode = split.decoder(augment)
        self._epoch_order = (None, None)
        self._lock = threading.Lock()

    @property
    def steps_per_epoch(self):
        """Number of whole batches in an epoch."""
        return len(self._split) // self.batch_size

    def from_step(self, step, worker=0, workers=1):
        """The batches from number `step` on, or one worker's part of each.

        Args:
            step: int, at least 0: the number of batches that were used before.
            worker, workers: worker `worker` of `workers` gets the `worker`-th of as many equal
                parts of each batch. How many files the data are in does not matter.

        Returns:
            An endless `tf.data.Dataset` of (images, labels), batches of static size. Its
            element k is (the part of) the batch number `step + k`, whatever `step` it was
            started from.

        Raises:
            ValueError: a step below 0, a worker that there is not, a batch that cannot be divided.
        """
        check_step(step)
        part = worker_part(self.batch_size, worker, workers)
        size = part.stop - part.start
        group = _group_size(size)
        split, labels = self._split, self._split.label_table

        @as_written
        def rows(step):
            shape = (self.batch_size, _CANDIDATES)
            candidates = tf.numpy_function(self._candidates, [step], tf.int64, stateful=False)
            candidates = tf.ensure_shape(candidates, shape)
            drawn = candidates[:, 0]  # Which an evaluation does not look at.
            if self.augment is not None:
                drawn = self.augment.draw(tf.stack([np.int64(self.seed), step]), self.batch_size)

            def grouped(rows):
                return tf.reshape(rows[part], (size // group, group, *rows.shape[1:]))

            return tf.nest.map_structure(grouped, (candidates, drawn))

        @as_written
        def together(images, used):
            images = tf.reshape(images, (size, *split.image_shape))
            return images, tf.gather(labels, tf.reshape(used, (size,)))

        groups = tf.data.Dataset.range(int(step), tf.int64.max).map(rows).unbatch()
        images = read_images(groups, split.source, self._decode, split.corrupt)
        if group < size:
            images = images.batch(size // group, drop_remainder=True)
        return on_host(images.map(together).prefetch(2))

    def _candidates(self, step):
        """Numbers of the images of a batch, each followed by those that may stand in for it."""
        epoch, place = divmod(int(step), self.steps_per_epoch)
        order = self._order(epoch)
        places = place * self.batch_size + np.arange(self.batch_size)
        apart = max(len(order) // _CANDIDATES, 1)
        chosen = (places[:, None] + apart * np.arange(_CANDIDATES)) % len(order)
        return self._split.members[order[chosen]]

    def _order(self, epoch):
        with self._lock:
            if self._epoch_order[0] != epoch:
                order = np.random.default_rng([self.seed, epoch]).permutation(len(self._split))
                self._epoch_order = (epoch, order)
            return self._epoch_order[1]


def _group_size(size):
    """Images a group: as many as GROUP, or the most below it that divide the batch."""
    return next(group for group in range(min(GROUP, size), 0, -1) if size % group == 0)
