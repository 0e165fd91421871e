"""The batches of a training, divided among devices and machines."""


def distributed_batches(strategy, stream, step):
    """The batches of a stream from a step on, as `fit` under a strategy takes them.

    Every worker reads its own part of each batch and divides it among its devices; TensorFlow
    neither shards nor batches anew.

    Args:
        strategy: a `tf.distribute.Strategy`; the default one for training on one device.
        stream: has `batch_size` and `from_step(step, worker, workers)`, such as
            `datasets.Stream`.
        step: batches used before.

    Returns:
        A dataset of `(images, labels)`.

    Raises:
        ValueError: a batch that does not divide by the devices of all workers.
    """
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return stream.from_step(step)
    refuse_indivisible(stream.batch_size, replicas)

    def part(context):
        batches = stream.from_step(step, context.input_pipeline_id, context.num_input_pipelines)
        return batches.rebatch(stream.batch_size // replicas)

    return strategy.distribute_datasets_from_function(part)


def refuse_indivisible(batch_size, replicas):
    """Refuses a batch that cannot be divided evenly.

    Raises:
        ValueError: naming both numbers.
    """
    if batch_size % replicas:
        raise ValueError(
            f"A batch is divided evenly among {replicas} devices of all workers: take a "
            f"train.batch_size that {replicas} divides. Received: train.batch_size={batch_size}"
        )
