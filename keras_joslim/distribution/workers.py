"""What the workers of a training tell each other: small values, outside of the graph.

Tensors are reduced by TensorFlow's collectives; here go the few values that all must have alike,
such as the widths that one worker chose. They are JSON texts in the key-value store of
TensorFlow's coordination service, which runs in worker 0 and watches over all by heartbeats.
"""

import functools
import json
import time

import tensorflow as tf

# The coordination service has no public name.
from tensorflow.python.eager import context

from keras_joslim.distribution.cluster import Cluster

# Seconds without a sign of life after which a worker counts as lost.
HEARTBEAT_SECONDS = 30
# After so many messages all workers wait for each other, and those before are forgotten.
_KEPT_MESSAGES = 64
# How often one who waits looks whether all are alive.
_LOOK_SECONDS = 2
# How long worker 0, which the others ask, waits for them to leave.
_LEAVE_SECONDS = 10
# Where it stands why all stop.
_STOPPED = "joslim/stopped"


class LostWorkerError(RuntimeError):
    """Another worker stopped or cannot be reached: the training ends on all."""


class OneWorker:
    """A training in one process: nobody to tell.

    Attributes:
        index: which worker this is.
        count: how many there are.
        is_chief: whether it is worker 0, which chooses widths and writes files.
    """

    index, count, is_chief = 0, 1, True

    def from_chief(self, make):
        """What `make()` gives on worker 0, on every worker; all must call it at the same point.

        Args:
            make: function without arguments that gives a JSON value; only worker 0 calls it.

        Raises:
            LostWorkerError: a worker stopped or cannot be reached.
        """
        return make()

    def gather(self, value):
        """The values of all workers, worker 0 first; all must call it at the same point.

        Args:
            value: a JSON value.

        Raises:
            LostWorkerError: a worker stopped or cannot be reached.
        """
        return [value]


class Workers(OneWorker):
    """The workers of a `MultiWorkerMirroredStrategy`.

    Args:
        cluster: the `Cluster`.
    """

    def __init__(self, cluster):
        self.cluster = cluster
        self.index, self.count = cluster.index, cluster.count
        self.is_chief = cluster.index == 0
        self._number = 0
        self._own = []

    # -- telling -------------------------------------------------------------

    def from_chief(self, make):
        number = self._next()
        if not self.is_chief:
            return self._read(number, 0)
        value = make()
        self._write(number, value)
        return value

    def gather(self, value):
        number = self._next()
        self._write(number, value)
        values = [self._read(number, index) for index in range(self.count)]
        # Who wrote a message of this number has read all before it.
        for old in self._own[:-1]:
            context.context().delete_config_key_value(_key(old, self.index))
        self._own = self._own[-1:]
        return values

    def _next(self):
        self._number += 1
        if self._number % _KEPT_MESSAGES == 0:
            self.gather(None)
            self._number += 1
        return self._number

    def _write(self, number, value):
        context.context().set_config_key_value(_key(number, self.index), json.dumps(value))
        self._own.append(number)

    def _read(self, number, index):
        return json.loads(self._wait_for(_key(number, index)))

    def _wait_for(self, key):
        while True:
            try:
                return context.context().get_config_key_value(key, 1000 * _LOOK_SECONDS)
            except tf.errors.DeadlineExceededError:
                lost = self._lost()
            except tf.errors.OpError:
                lost = self.who_was_lost()
            if lost:
                raise LostWorkerError(lost)

    def leave(self):
        """Ends the talk: worker 0 goes on when the others have left, or after some seconds."""
        deadline = time.monotonic() + _LEAVE_SECONDS
        try:
            if not self.is_chief:
                context.context().set_config_key_value(_key("left", self.index), "")
                return
            for index in range(1, self.count):
                left = max(deadline - time.monotonic(), 0.1)
                context.context().get_config_key_value(_key("left", index), int(1000 * left))
        except tf.errors.OpError:
            # Who is gone has left.
            pass

    # -- failing -------------------------------------------------------------

    def stop_all(self, sentence):
        """Tells the others why all stop: what they wait for fails at once.

        Args:
            sentence: which worker stopped or was lost, and why.
        """
        for tell in (
            lambda: context.context().set_config_key_value(_STOPPED, sentence),
            lambda: context.context().report_error_to_cluster(tf.errors.UNAVAILABLE, sentence),
        ):
            try:
                tell()
            except (tf.errors.OpError, ValueError):
                # They know of a failure already.
                pass

    def who_was_lost(self):
        """Names the worker that stopped or cannot be reached, after something failed.

        Returns:
            A sentence; `None` if all were alive for longer than a lost one can go unnoticed.
        """
        deadline = time.monotonic() + HEARTBEAT_SECONDS + 2 * _LOOK_SECONDS
        while time.monotonic() < deadline:
            lost = self._lost()
            if lost:
                return lost
            time.sleep(_LOOK_SECONDS)
        return None

    def chief_answers(self):
        """Whether worker 0 answers within some seconds."""
        return self._state(0) is None

    def _lost(self):
        try:
            return context.context().get_config_key_value(_STOPPED, 200)
        except tf.errors.OpError:
            pass
        for index in range(self.count):
            state = None if index == self.index else self._state(index)
            # One that does not answer may be back in time; heartbeats decide.
            if state is not None and not isinstance(state, tf.errors.DeadlineExceededError):
                return f"{self.cluster.name(index)} was lost"
        return self._without_heartbeat() if self.is_chief else None

    def _state(self, index):
        """The error by which a worker does not answer, or `None`."""
        job, number, _ = self.cluster.tasks[index]
        try:
            context.context().check_collective_ops_peer_health(
                f"/job:{job}/replica:0/task:{number}", 1000 * _LOOK_SECONDS
            )
        except tf.errors.OpError as error:
            return error
        return None

    def _without_heartbeat(self):
        """What the service knows; asked in its own process, for the question has no time limit."""
        states = context.context().get_task_states(list(self.cluster.jobs.items()))
        for index, state in enumerate(states):
            if state is not None and index != self.index:
                return f"{self.cluster.name(index)} was lost"
        return None


def workers_of(strategy):
    """Who trains under a strategy: `Workers`, or `OneWorker` if it is of one process.

    Args:
        strategy: a `tf.distribute.Strategy`.
    """
    if not is_multi_worker(strategy):
        return OneWorker()
    resolver = strategy.cluster_resolver
    spec = resolver.cluster_spec().as_dict()
    cluster = Cluster.from_dict(spec, resolver.task_type, resolver.task_id)
    return OneWorker() if cluster.count == 1 else _workers(cluster)


def is_multi_worker(strategy):
    """Whether TensorFlow, and Keras, treat a strategy as one of several workers."""
    return (
        isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        and strategy.extended._in_multi_worker_mode()
    )


@functools.cache
def _workers(cluster):
    # One a process: messages are numbered, and the store is one as well.
    return Workers(cluster)


def _key(number, index):
    return f"joslim/{number}/{index}"
