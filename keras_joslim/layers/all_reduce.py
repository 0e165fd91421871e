"""A sum over all replicas that may stand inside of a loop."""

import tensorflow as tf


def sum_over_replicas(value):
    """The sum of a tensor over the replicas of the strategy, on each of them; differentiable.

    TensorFlow's own `all_reduce` brings the replicas' threads together while it traces, which it
    cannot do inside of `tf.while_loop`. Where every process has one device, it need not.

    Args:
        value: a tensor, of one shape on all replicas and, in a loop, at every turn.

    Raises:
        ValueError: replicas that share a process.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    strategy, operation = context.strategy, tf.distribute.ReduceOp.SUM
    refuse_shared_process(strategy)
    if tf.executing_eagerly():
        return context.all_reduce(operation, value)

    @tf.custom_gradient
    def reduced(x):
        # Each replica's loss depends on the sum: its gradient is the sum of theirs.
        return strategy.extended._replica_ctx_all_reduce(operation, x), sum_over_replicas

    return reduced(value)


def refuse_shared_process(strategy):
    """Refuses a strategy under which replicas would wait for each other for ever.

    TensorFlow runs the loops over narrow networks of the devices of one process one after the
    other.

    Raises:
        ValueError: more than one device in this process.
    """
    if strategy.num_replicas_in_sync == 1:
        return
    devices = len(strategy.extended.worker_devices)
    if devices > 1:
        raise ValueError(
            "Synchronized BatchNormalization of a slimmable network needs a worker of its own for "
            "each device: TF_CONFIG names several on a machine, with a port each, and "
            f"CUDA_VISIBLE_DEVICES gives each one GPU. Received: {devices} devices in one process"
        )
