"""One part of a data set whose images are files: read when they are asked for, never kept."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from keras_joslim.datasets.image_files.corrupt_images import CorruptImages
from keras_joslim.datasets.image_files.decode import central_window, decode_square
from keras_joslim.datasets.image_files.photo_augmentation import LUMA, PhotoAugmentation
from keras_joslim.datasets.image_files.photo_stream import PhotoStream
from keras_joslim.datasets.image_files.pipeline import GROUP, as_written, on_host, read_images
from keras_joslim.datasets.stream_arguments import is_whole
from keras_joslim.preprocessing import Preprocessing


@dataclasses.dataclass(frozen=True, eq=False)
class FileSplit:
    """Images in files and their labels; a `Split` that holds no pixels.

    Args:
        source: `FolderSource` or `RecordSource`: what images there are.
        members: which of them are of this part, int `(n,)`, in its order.
        all_labels: class numbers of all images of the source, int.
        size: side of the square that images become, pixels.
        preprocessing: `Preprocessing` of a pixel in [0, 255].
        corrupt: `CorruptImages`.

    Raises:
        ValueError: no images.
    """

    source: object
    members: np.ndarray
    all_labels: np.ndarray
    size: int
    preprocessing: Preprocessing
    corrupt: CorruptImages

    # What `augment` of a stream is.
    augmentation = PhotoAugmentation

    def __post_init__(self):
        if not len(self.members):
            raise ValueError("A part of a data set must have one image or more. Received: none")

    def __len__(self):
        return len(self.members)

    @property
    def image_shape(self):
        """Shape of one image: (height, width, channels)."""
        return (self.size, self.size, 3)

    @functools.cached_property
    def labels(self):
        """Class numbers, int32 `(n,)`."""
        labels = self.all_labels[self.members].astype(np.int32)
        labels.flags.writeable = False
        return labels

    @functools.cached_property
    def label_table(self):
        """Class numbers of all images of the source, as a tensor of the host."""
        with tf.device("CPU:0"):
            return tf.constant(self.all_labels, tf.int32)

    def arrays(self, chosen):
        """Some images as networks are evaluated on them, in memory.

        Args:
            chosen: how many from the first on, or their numbers, `(k,)`.

        Returns:
            float32 `(k, height, width, channels)` and int32 `(k,)`; without those that cannot
            be read.
        """
        places = np.arange(len(self))[:chosen] if np.ndim(chosen) == 0 else np.asarray(chosen)
        images = np.empty((len(places), *self.image_shape), np.float32)
        labels, count = np.empty(len(places), np.int32), 0
        with self.corrupt.as_value_error():
            for some, classes in self._batches(places, GROUP).as_numpy_iterator():
                part = slice(count, count + len(classes))
                images[part], labels[part] = some, classes
                count = part.stop
        return images[:count], labels[:count]

    def batches(self, batch_size):
        """All of the part once, in its order, as networks are evaluated on it.

        Args:
            batch_size: images a batch; the last batch holds what is left.

        Returns:
            A `tf.data.Dataset` of (images, labels) that reads the files anew each time it is run
            through. Images that cannot be read are left out.

        Raises:
            ValueError: a batch size below 1.
        """
        if not is_whole(batch_size) or batch_size < 1:
            raise ValueError(f"batch_size must be at least 1. Received: batch_size={batch_size!r}")
        return self._batches(np.arange(len(self)), batch_size)

    def stream(self, batch_size, seed, augment=None):
        """Endless training batches: a `PhotoStream`."""
        return PhotoStream(self, batch_size, seed, augment)

    def decoder(self, augment=None):
        """The function `(contents, drawn) -> pixels` of an augmentation, for graphs.

        Args:
            augment: `PhotoAugmentation`, of whose `draw` it takes a row; None for what networks are
                evaluated on.
        """
        scale = tf.constant(self.preprocessing.scale)
        offset = tf.constant(self.preprocessing.offset)

        def evaluated(contents, drawn):
            image = decode_square(contents, central_window, self.size)
            return _recoloured(image, tf.linalg.diag(scale), offset)

        def augmented(contents, drawn):
            window = functools.partial(augment.window, crops=drawn["crops"], place=drawn["place"])
            image = decode_square(contents, window, self.size)
            if augment.flip:
                image = tf.cond(
                    drawn["mirrored"] > 0, lambda: tf.reverse(image, [1]), lambda: image
                )
            bias = drawn["offset"]
            if augment.jitter:
                # Rows first: over long ones a sum takes a tenth of the time.
                mean = tf.reduce_mean(tf.reduce_mean(image, 0), 0)
                bias += drawn["grey"] * tf.reduce_sum(mean * LUMA)
            return _recoloured(image, drawn["matrix"] * scale, bias * scale + offset)

        # Traced once, however often it stands in a pipeline.
        return tf.function(evaluated if augment is None else augmented, autograph=False)

    @functools.cached_property
    def _evaluated(self):
        return self.decoder()

    def _batches(self, places, batch_size):
        """Batches of the images at these places of the part."""
        with tf.device("CPU:0"):
            members = tf.constant(self.members[places], tf.int64)
        labels = self.label_table

        @as_written
        def one_candidate(some):
            return some[:, None], some

        @as_written
        def readable(image, index):
            return index >= 0

        @as_written
        def labelled(image, index):
            return image, tf.gather(labels, index)

        groups = tf.data.Dataset.from_tensor_slices(members).batch(GROUP).map(one_candidate)
        images = read_images(groups, self.source, self._evaluated, self.corrupt).unbatch()
        return on_host(images.filter(readable).map(labelled).batch(batch_size).prefetch(2))


def _recoloured(image, matrix, offset):
    """`image @ matrix + offset`: as a convolution, which takes a third of a product's time."""
    return tf.nn.bias_add(tf.nn.conv2d(image[None], matrix[None, None], 1, "VALID"), offset)[0]
