"""Starting to train on one device, on those of this machine, or on several machines."""

import contextlib
import os
import signal
import sys
import threading
import time

import tensorflow as tf

# The coordination service and its configuration have no public names.
from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
from tensorflow.python.eager import context

from keras_joslim.app.identity import disagreement, identity
from keras_joslim.distribution.choice import checked_strategy
from keras_joslim.distribution.cluster import Cluster
from keras_joslim.distribution.workers import (
    HEARTBEAT_SECONDS,
    LostWorkerError,
    OneWorker,
    workers_of,
)
from keras_joslim.termination import Terminated

# For how long workers wait for the last one to start.
_PATIENCE_SECONDS = 600
# How often a worker looks whether worker 0 answers.
_WATCH_SECONDS = 5
# For how long a worker that fails stays, so that the others can ask which one it was.
_LINGER_SECONDS = 5
# What TensorFlow raises where another worker is gone, or said that it stops.
_OF_OTHERS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


@contextlib.contextmanager
def started(name, config, patience=_PATIENCE_SECONDS):
    """Inside, models are made and trained under the strategy of that name.

    With "multi_worker" all workers have the same config and code, or all are refused; and one that
    fails inside, or is lost, brings all others down with a line that names it.

    Args:
        name: one of `choice.STRATEGIES`.
        config: JSON dict of the run.
        patience: seconds to wait for all workers.

    Yields:
        `OneWorker`, or `Workers` with "multi_worker".

    Raises:
        ValueError: a strategy that cannot be had, workers that do not agree.
        LostWorkerError: another worker stopped, was lost, or never came.
    """
    checked_strategy(name)
    if name == "none":
        yield OneWorker()
        return
    strategy = _mirrored() if name == "mirrored" else _multi_worker(patience)
    workers = workers_of(strategy)
    if workers.count == 1:
        with strategy.scope():
            yield workers
        return
    with _watching(workers), _failing_together(workers):
        _agree(workers, identity(config, len(strategy.extended.worker_devices)))
        with strategy.scope():
            yield workers


def devices_told(strategy):
    """What a training runs on, as a sentence; also that it is a CPU, which few mean.

    Args:
        strategy: a `tf.distribute.Strategy`.
    """
    kind = tf.DeviceSpec.from_string(strategy.extended.worker_devices[0]).device_type
    count = strategy.num_replicas_in_sync
    told = f"Training on {count} {kind}{'s' if count > 1 else ''}"
    if kind == "GPU":
        return f"{told}."
    return (
        f"{told}: TensorFlow sees no GPU. (With NVIDIA's, `pip install 'tensorflow[and-cuda]'` "
        "brings what it needs.)"
    )


def _mirrored():
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _multi_worker(patience):
    cluster = Cluster.from_environment()
    _configure(cluster, patience)
    with _interruptible():
        try:
            return tf.distribute.MultiWorkerMirroredStrategy()
        except (tf.errors.DeadlineExceededError, tf.errors.UnavailableError) as error:
            raise LostWorkerError(_not_all_came(cluster, patience, error)) from error
        except tf.errors.OpError as error:
            raise OSError(
                f"{cluster.name(cluster.index)} could not be started here: {error.message}. Is its "
                "port free, and does TF_CONFIG have another index on each machine?"
            ) from error


def _configure(cluster, patience):
    """Heartbeats and waiting times in the place of TensorFlow's, which may wait for ever."""
    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader=f"/job:{next(iter(cluster.jobs))}/replica:0/task:0",
        cluster_register_timeout_in_ms=1000 * patience,
        heartbeat_timeout_in_ms=1000 * HEARTBEAT_SECONDS,
        coordinated_jobs=[
            coordination_config_pb2.CoordinatedJob(name=job, num_tasks=count)
            for job, count in cluster.jobs.items()
        ],
    )
    # Without it worker 0 waits for the others without end.
    context.context().coordination_service.cluster_register_with_barrier = True


@contextlib.contextmanager
def _interruptible():
    """TensorFlow holds the interpreter while it waits: Ctrl-C ends the process meanwhile.

    It also takes SIGTERM for itself; it is given back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None:
                signal.signal(number, handler)


def _not_all_came(cluster, patience, error):
    missing = [
        cluster.name(index)
        for index, (job, number, _) in enumerate(cluster.tasks)
        if index != cluster.index and f"/job:{job}/replica:0/task:{number}\n" in f"{error}\n"
    ]
    if cluster.index and not missing:
        missing = [cluster.name(0)]
    return (
        f"The {cluster.count} workers did not come together within {patience} s: "
        f"{', '.join(missing) or 'some'} did not answer. Start all within that time, with a "
        "TF_CONFIG of addresses that reach each other"
    )


def _agree(workers, own):
    refusal = disagreement(workers.gather(own))
    if refusal:
        raise ValueError(f"The workers do not agree: {refusal}.")


@contextlib.contextmanager
def _failing_together(workers):
    """A failure of one worker ends all, each with a line on which one it was and why."""
    try:
        yield
        workers.leave()
    except Terminated:
        workers.leave()
        raise
    except (LostWorkerError, *_OF_OTHERS) as error:
        lost = str(error) if isinstance(error, LostWorkerError) else workers.who_was_lost()
        workers.stop_all(lost or _stopped(workers, error))
        time.sleep(_LINGER_SECONDS)
        if lost is None:
            raise
        raise LostWorkerError(_advice(lost)) from error
    except (Exception, KeyboardInterrupt) as error:
        workers.stop_all(_stopped(workers, error))
        time.sleep(_LINGER_SECONDS)
        raise


@contextlib.contextmanager
def _watching(workers):
    """Ends a worker when worker 0 is frozen, or its machine cut off.

    One that is gone is noticed at once; where it only does not answer, a worker that was telling
    it something would wait for ever.
    """
    if workers.is_chief:
        yield
        return
    over = threading.Event()

    def watch():
        answered = time.monotonic()
        while not over.wait(_WATCH_SECONDS):
            if workers.chief_answers():
                answered = time.monotonic()
            elif time.monotonic() - answered > 2 * HEARTBEAT_SECONDS:
                lost = f"{workers.cluster.name(0)} was lost"
                print(f"joslim: {_advice(lost)}", file=sys.stderr, flush=True)
                os._exit(2)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _stopped(workers, error):
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:500].rstrip(".: ")
    return f"{workers.cluster.name(workers.index)} stopped: {reason}"


def _advice(lost):
    return f"{lost}. Started again, all workers go on from the last checkpoint"
