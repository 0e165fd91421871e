"""From the numbers of images to their pixels, in groups, and past those that cannot be read."""

import os
import re

import numpy as np
import tensorflow as tf

# Images that one thread decodes before it hands them on: what a group costs by itself (0.3 ms) is
# spread over them, and few are enough to keep memory low.
GROUP = 64
# For functions of `map`: they are graph code already, and not to be rewritten into it.
as_written = tf.autograph.experimental.do_not_convert


def read_images(groups, source, decode, corrupt):
    """Reads and decodes images, several groups at a time, in the given order.

    What cannot be read is replaced by the next candidate that can, and noted. A group is read
    without any care at first; only if that fails, image by image, with the same result for
    those that are sound.

    Args:
        groups: a `tf.data.Dataset` of pairs: candidates, int64 `(g, r)`, the first of each row
            being the image that is wanted; and what `decode` is to know of each image, tensors
            `(g, ...)`.
        source: `FolderSource` or `RecordSource`.
        decode: function `(contents, row)` of tensors to pixels of a static shape.
        corrupt: `CorruptImages`, told of what was not read.

    Returns:
        A `tf.data.Dataset` of pairs: pixels `(g, height, width, channels)` and the numbers of the
        images that they are, int64 `(g,)`; -1, with black pixels, where no candidate could be
        read.

    Raises:
        ValueError: where it runs, as an error of TensorFlow: too many corrupt images.
    """

    def read(indices):
        contents = np.empty(len(indices), object)
        for place, index in enumerate(indices):
            try:
                contents[place] = source.read(index)
            except OSError:
                contents[place] = b""  # No image either; the reason is found out later.
        return contents

    def contents_of(indices):
        contents = tf.numpy_function(read, [indices], tf.string, stateful=False)
        return tf.ensure_shape(contents, indices.shape)

    @as_written
    def group(candidates, rows):
        def careless(contents, row):
            return decode(contents, row)

        def first_readable(candidates, row):
            def attempt(place):
                index = candidates[place]
                return decode(contents_of(index[None])[0], row), index

            def none(_):
                return tf.zeros(pixels.shape, pixels.dtype), np.int64(-1)

            attempts = tf.data.Dataset.range(candidates.shape[0]).map(attempt).ignore_errors()
            pixels = attempts.element_spec[0]
            return attempts.concatenate(tf.data.Dataset.range(1).map(none)).take(1)

        wanted = candidates[:, 0]
        # At most one element: either all of the group, or nothing where one could not be decoded.
        size = tf.shape(candidates, tf.int64)[0]
        whole = tf.data.Dataset.from_tensor_slices((contents_of(wanted), rows)).map(careless)
        whole = whole.batch(size, drop_remainder=True).map(lambda images: (images, wanted))
        careful = tf.data.Dataset.from_tensor_slices((candidates, rows)).flat_map(first_readable)
        either = whole.ignore_errors().concatenate(careful.batch(size, drop_remainder=True))
        return either.take(1).map(lambda images, used: (images, used, candidates))

    def note(used, candidates):
        for index, row in zip(used, candidates, strict=True):
            for candidate in row[: row.tolist().index(index) if index >= 0 else len(row)]:
                name = source.name(candidate)
                if name in corrupt:
                    corrupt.refuse_too_many()
                else:
                    corrupt.add(name, unreadable_because(source, candidate))
            if index < 0 and len(row) > 1:
                corrupt.refuse(
                    f"None of {len(row)} images that stand in for each other can be read, the "
                    f"last of them {source.name(row[-1])}. Replace these files."
                )
        return used

    @as_written
    def noted(images, used, candidates):
        # The note gives back what it is given, so that nothing can leave it out.
        def told():
            return tf.ensure_shape(
                tf.numpy_function(note, [used, candidates], tf.int64, stateful=False), used.shape
            )

        used = tf.cond(tf.reduce_all(used == candidates[:, 0]), lambda: used, told)
        return images, used

    threads = max(os.cpu_count() or 1, 2)
    images = groups.interleave(group, threads, 1, num_parallel_calls=threads, deterministic=True)
    return images.map(noted)


def on_host(dataset):
    """The data set with one thread an operation (its images are what runs side by side)."""
    options = tf.data.Options()
    options.threading.max_intra_op_parallelism = 1
    # A worker's part is cut out by the stream itself.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.with_options(options)


def unreadable_because(source, index):
    """Why an image cannot be read, in a few words."""
    try:
        contents = source.read(index)
    except OSError as error:
        return error.strerror or str(error)
    if not contents:
        return "it is empty"
    try:
        with tf.device("CPU:0"):
            tf.io.decode_image(contents, channels=3, expand_animations=False)
    except tf.errors.OpError as error:
        # Without the names of functions and operations around it.
        text = re.sub(r"\{\{[^}]*\}\}|\[Op:[^]]*\].*", "", error.message, flags=re.DOTALL)
        return " ".join(text.split()).rstrip(".")
    return "a part of it cannot be decoded"
