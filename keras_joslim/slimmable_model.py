"""The slimmable model: call with widths, train by sandwich steps."""

import json

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_joslim.distribution.model import DistributedModel
from keras_joslim.graph import layer_calls as calls
from keras_joslim.graph.convert import copy_weights
from keras_joslim.graph.walk import layers_in_order
from keras_joslim.history_losses import HistoryLosses
from keras_joslim.loss_scaling import refuse_vanished_scale
from keras_joslim.losses_per_output import LossesPerOutput
from keras_joslim.run_state import RunState
from keras_joslim.schedules.front_progress import FrontMonitor
from keras_joslim.schedules.schedule import Schedule
from keras_joslim.schedules.uniform import UniformWidths
from keras_joslim.search.whole_number import whole_number
from keras_joslim.training_step import sandwich_step
from keras_joslim.width_space import WidthSpace


@keras.saving.register_keras_serializable("keras_joslim")
class SlimmableModel(DistributedModel):
    """One set of weights, every layer runnable at fewer channels.

    Made by `make_slimmable`. `fit`, `evaluate`, `predict` and callbacks work as on
    any Keras model and mean the full network; `fit` trains by sandwich steps over
    the full network, sampled ones and the smallest one, the narrow ones distilled
    from the full one's output (Yu and Huang, US-Net, ICCV 2019). Which ones is the
    business of a schedule among the callbacks; without one, `UniformWidths()`.

    Args:
        network: the functional model called with `[inputs, widths]`.
        width_space: its `WidthSpace`.
        original: the model it was made from: dict of `config`, its Keras config as
            JSON text, `output_names`, and `layers`: the names in the network of its
            layers, in the order of a walk over the original.

    Call arguments:
        inputs: what the original model takes.
        widths: int32 `(groups,)`, a legal width vector; `None` is the full network.
        training: as everywhere in Keras.

    Example:

    >>> slim = make_slimmable(keras.applications.MobileNetV2(weights=None), min_width=0.42)
    >>> slim.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    >>> slim.fit(images, labels, callbacks=[Joslim(calibration_data, tau=100)])
    >>> slim(images, widths=slim.width_space.smallest)
    """

    def __init__(self, network, width_space, original, name=None, **kwargs):
        # By its policy `compile` knows whether losses are to be scaled. Inputs are the layers' to
        # cast: images lose nothing on the way to them.
        policy = {"dtype": _policy(network), "autocast": False}
        super().__init__(name=name, **{**policy, **kwargs})
        self.network = network
        self.width_space = width_space
        self.original = original
        self.output_names = original["output_names"]
        self.network._register_call_context_args("batch_statistics", "update_statistics")
        self.smallest_loss_tracker = keras.metrics.Mean(name="smallest_loss")
        self.weight_decay = 0.0
        self.accumulate = 1
        self._distillation = None
        self._losses_per_output = None
        self._run = RunState(width_space)
        self._history_losses = None
        self.built = True

    # -- calling -------------------------------------------------------------

    def call(self, inputs, widths=None, training=None):
        self._check_inputs(inputs)
        # Moving statistics are those of the full network's passes.
        update = widths is None
        if widths is None:
            widths = self.width_space.full
        elif tf.executing_eagerly():
            # In a graph the values are not known yet; schedules give legal ones.
            widths = self.width_space.validate(ops.convert_to_numpy(widths))
        widths = ops.convert_to_tensor(widths, "int32")
        return self.network([inputs, widths], training=training, update_statistics=update)

    def _check_inputs(self, inputs):
        """Refuses inputs of other ranks or channels: slimmable layers no longer pin theirs."""
        for given, symbol in zip(keras.tree.flatten(inputs), self.inputs):
            shape, expected = tuple(given.shape), tuple(symbol.shape)
            same_rank = len(shape) == len(expected)
            if not same_rank or None not in (shape[-1], expected[-1]) and shape[-1] != expected[-1]:
                raise ValueError(
                    f"Input {symbol.name!r} of model {self.name!r} has the shape {expected}. "
                    f"Received: shape={shape}"
                )

    def compute_output_shape(self, input_shape):
        return keras.tree.map_structure(lambda t: t.shape, self.network.output)

    @property
    def inputs(self):
        """Symbolic inputs of the original model."""
        return self.network.inputs[:-1]

    @property
    def outputs(self):
        """Symbolic outputs."""
        return self.network.outputs

    def layer_calls(self):
        """The `LayerCall`s of the network, which the costs are made of."""
        return calls.layer_calls(self.network)

    def get_layer(self, name=None, index=None):
        """A slimmable layer by its name, or by its index in `summary()`; see `keras.Model`."""
        return self.network.get_layer(name, index)

    def summary(self, *args, **kwargs):
        """Prints the network layer by layer, as Keras does."""
        return self.network.summary(*args, **kwargs)

    # -- compiling -----------------------------------------------------------

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        loss_weights=None,
        metrics=None,
        *,
        weight_decay=0.0,
        distillation=None,
        accumulate=1,
        jit_compile="auto",
        **kwargs,
    ):
        """Configures training, as `keras.Model.compile`, with three more arguments.

        Args:
            optimizer: any Keras optimizer.
            loss: as in Keras; needed for `fit`.
            loss_weights: as in Keras; they weigh the distillation losses too.
            metrics: as in Keras; they are the full network's.
            weight_decay: coupled decay: `gradient += weight_decay * weight` before
                the optimizer's momentum, for kernels of convolutions and dense
                layers; never BatchNormalization, biases or depthwise kernels.
                (Keras's own `weight_decay` is decoupled and far weaker under SGD.)
            distillation: the distillation loss of outputs whose own loss is neither a
                (sparse) categorical or binary cross-entropy nor MSE, MAE or Huber: a
                dict by output name, or one loss if there is one output.
            accumulate: parts in which each batch is run, one after the other, to save memory;
                still one optimizer step a batch, see `accumulated_passes`.
            jit_compile: must not be `True`: XLA compiles again for every new width.
            **kwargs: further arguments of `keras.Model.compile`.

        Raises:
            ValueError: `jit_compile=True`, a negative weight decay, `accumulate` below 1.
        """
        if jit_compile is True:
            raise ValueError(
                "A slimmable model cannot be compiled with XLA: XLA needs static shapes and "
                "compiles again for every new width, a compilation a step, though TensorFlow "
                "traces only once. Received: jit_compile=True. Leave it out."
            )
        if not weight_decay >= 0:
            raise ValueError(f"Weight decay is not negative. Received: weight_decay={weight_decay}")
        self.weight_decay = float(weight_decay)
        self.accumulate = whole_number("accumulate", accumulate, 1)
        self._distillation = distillation
        self._losses_per_output = None
        self._history_losses = None
        super().compile(
            optimizer=optimizer,
            loss=loss,
            loss_weights=loss_weights,
            metrics=metrics,
            jit_compile=False,
            **kwargs,
        )

    def get_compile_config(self):
        config = super().get_compile_config()
        if config:
            config["weight_decay"] = self.weight_decay
            config["accumulate"] = self.accumulate
            config["distillation"] = keras.saving.serialize_keras_object(self._distillation)
            config.pop("jit_compile", None)
        return config

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def test_step(self, data):
        """As in Keras: the full network alone."""
        logs = super().test_step(data)
        logs.pop(self.smallest_loss_tracker.name, None)
        return logs

    def get_metrics_result(self):
        results = super().get_metrics_result()
        # An evaluation does not measure the smallest network: no loss is not a loss of 0.
        tracker = self.smallest_loss_tracker
        if tf.executing_eagerly() and not ops.convert_to_numpy(tracker.count):
            results.pop(tracker.name, None)
        return results

    # -- training ------------------------------------------------------------

    @property
    def training_widths(self):
        """int32 `(steps, networks, groups)`: the sandwich of the next steps.

        Step `i` of a run trains row `i % steps`. The first network is the full one.
        """
        return self._run.training_widths.numpy()

    @training_widths.setter
    def training_widths(self, rows):
        self._run.set_widths(rows)

    @property
    def task_losses(self):
        """float64 `(steps, networks)`: task losses of the last execution, as in `training_widths`.

        Of each network on the batch that it was trained on, in training mode; the mean over
        replicas. NaN where no callback of the run has `needs_task_losses`.
        """
        return self._run.task_losses.numpy().astype(np.float64)

    @property
    def input_ready(self):
        """When the first batch of the last execution was there, as `time.time()` has it."""
        return float(self._run.input_ready.numpy())

    def fit(self, *args, callbacks=None, **kwargs):
        """Trains by sandwich steps; see `keras.Model.fit` for the arguments.

        The schedule among `callbacks` decides which networks are trained;
        `UniformWidths()` if there is none.

        Raises:
            ValueError: more than one schedule.
            NonFiniteLossError: a loss became NaN or infinite.
        """
        given = _as_list(callbacks)
        schedules = [c for c in given if isinstance(c, Schedule)]
        if len(schedules) > 1:
            names = [type(s).__name__ for s in schedules]
            raise ValueError(f"`fit` takes one schedule. Received: {names}")
        if not schedules:
            given = [UniformWidths(), *given]
        # What these add to the logs is for all callbacks after them, whatever the user's order.
        given.sort(key=lambda c: not isinstance(c, (Schedule, FrontMonitor)))
        wanted = any(getattr(c, "needs_task_losses", False) for c in given)
        self._run.begin(any(self.workers.gather(wanted)))
        return super().fit(*args, callbacks=given, **kwargs)

    def train_step(self, data):
        """One optimizer step over the full network and the narrow ones of its row."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        self._check_inputs(x)
        # Where the model runs eagerly arrays come as they are; Keras mixes none with tensors.
        x = keras.tree.map_structure(
            lambda v: tf.convert_to_tensor(v) if isinstance(v, np.ndarray) else v, x
        )
        self._run.note_input(x)
        sandwich_step(self, self._run, x, y, sample_weight)
        return self.get_metrics_result()

    def losses_per_output(self, batch):
        """The compiled losses output by output, made ready with one `(x, y, weight)` batch."""
        if self._compile_loss is not None and not self._compile_loss.built:
            self._symbolic_build(data_batch=tuple(batch))
        return self._output_losses()

    def _output_losses(self):
        if self._losses_per_output is None:
            if self._compile_loss is None or not self._compile_loss.built:
                raise ValueError(
                    "The model was compiled without a loss. Use `compile(optimizer, loss=...)`."
                )
            self._losses_per_output = LossesPerOutput(self._compile_loss, self._distillation)
        return self._losses_per_output

    def raise_if_non_finite(self):
        """Stops a run in which a loss became NaN or infinite.

        Raises:
            NonFiniteLossError: naming the step, the network and its widths.
            ArithmeticError: in mixed precision, gradients are not finite at any loss scale.
        """
        self._run.raise_if_non_finite()
        refuse_vanished_scale(self.optimizer)

    # -- the history ---------------------------------------------------------

    def losses_at(self, widths, x, y, sample_weight=None):
        """Task losses of many sub-networks on one batch, BatchNormalization on its statistics.

        This is how a history is re-calibrated (Joslim, algorithm 1): one compiled
        loop over the networks, with today's weights, nothing of the model changed,
        dropout off. Several workers share out the networks, each on the whole batch, and
        all get the losses of all: then all must call this at the same point.

        Args:
            widths: int `(n, groups)`.
            x: a batch of inputs, as the model takes them.
            y: its labels.
            sample_weight: as in `fit`.

        Returns:
            float64 numpy `(n,)`.
        """
        data = keras.tree.map_structure(
            lambda v: None if v is None else tf.convert_to_tensor(v), (x, y, sample_weight)
        )
        self.losses_per_output(data)
        widths = np.atleast_2d(self.width_space.validate(widths))
        if self._history_losses is None:
            self._history_losses = HistoryLosses(self.network, self._output_losses(), self.workers)
        return self._history_losses(widths, *data)

    # -- saving --------------------------------------------------------------

    def load_weights(self, filepath, *args, **kwargs):
        """Loads a weights file of the original model, or one that `save_weights` wrote.

        Raises:
            ValueError: the file fits neither; see `keras.Model.load_weights`.
        """
        stock = self._original_model()
        try:
            stock.load_weights(filepath, *args, **kwargs)
        except ValueError as error:
            if not str(filepath).endswith(".keras"):
                raise
            try:
                return super().load_weights(filepath, *args, **kwargs)
            except ValueError:
                raise error from None
        for theirs, ours in self._paired_with(stock):
            copy_weights(theirs, ours)

    def save_weights(self, filepath, *args, **kwargs):
        """Saves the weights in a file that the original model loads as well."""
        stock = self._original_model()
        for theirs, ours in self._paired_with(stock):
            copy_weights(ours, theirs)
        stock.save_weights(filepath, *args, **kwargs)

    def _paired_with(self, stock):
        """Every layer of the original with the network's layer that holds its weights."""
        for layer, name in zip(layers_in_order(stock), self.original["layers"], strict=True):
            yield layer, self.network.get_layer(name)

    def _original_model(self):
        return keras.saving.deserialize_keras_object(json.loads(self.original["config"]))

    def get_config(self):
        return {
            "name": self.name,
            "network": keras.saving.serialize_keras_object(self.network),
            "width_space": self.width_space.to_dict(),
            "original": self.original,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        network = keras.saving.deserialize_keras_object(config["network"], custom_objects)
        space = WidthSpace.from_dict(config["width_space"])
        return cls(network, space, config["original"], name=config["name"])

    def get_build_config(self):
        return None

    def build_from_config(self, config):
        # The network comes built.
        return


def _policy(network):
    """The policy of mixed precision that layers of the network have; else `None`, Keras's own."""
    policies = [layer.dtype_policy for layer in network.layers]
    return next((policy for policy in policies if policy.name.startswith("mixed_")), None)


def _as_list(callbacks):
    if callbacks is None:
        return []
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return list(callbacks.callbacks)
    return list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]
