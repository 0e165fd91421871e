"""How each layer of a rebuilt network is quantised in training: as the TFLite kernels will be.

tfmot's own default is not used as it stands, for three reasons, each of which costs accuracy:

- It fakes depthwise kernels with one range for all channels. TFLite has a range a channel, and
  with BatchNormalization folded in, channels differ by orders of magnitude.
- Where a ReLU follows a kernel it leaves the kernel unquantised (its transform
  `LayerReLUQuantize`).
- Ranges of activations begin at [-6, 6] and follow the data with a momentum of 0.999: after 100
  steps nine tenths of that are left. Here they begin at what the network shows.

Imported by `child` alone: importing tfmot changes what tf.keras is for the whole process.
"""

import numpy as np
import tensorflow_model_optimization as tfmot

from keras_joslim.tflite.qat.tf_keras_rebuild import operation_class, outputs_of, rebuild

_quantization = tfmot.quantization.keras

# What a kernel is called, and how many of its last axes make the output channels.
_KERNELS = {
    "Conv2D": ("kernel", 1),
    "Dense": ("kernel", 0),
    "DepthwiseConv2D": ("depthwise_kernel", 2),
    "Conv2DTranspose": ("kernel", 0),
}
# Their TFLite kernels give out the scale they get in, or one that is fixed.
_TRANSPARENT = (
    "AveragePooling2D",
    "Cropping2D",
    "Dropout",
    "GlobalMaxPooling2D",
    "MaxPooling2D",
    "Reshape",
    "SpatialDropout2D",
    "UpSampling2D",
    "ZeroPadding2D",
    "pad",
    "sigmoid",
    "softmax",
    "tanh",
)
# Those that take a ReLU or ReLU6 in.
_FUSING = ("Add", "Conv2D", "Dense", "DepthwiseConv2D", "Multiply", "Subtract", "offset", "scale")
# A channel's range is at least this part of the kernel's: a dead channel has none of its own.
_SMALLEST_RANGE = 1e-3


class KernelQuantizer(_quantization.quantizers.Quantizer):
    """Symmetric int8 in [-127, 127] with one range for each output channel.

    The range is the channel's largest absolute weight in the last training step.

    Args:
        axes: how many of the last axes of the kernel make the output channels; 0 for one range.
    """

    def __init__(self, axes):
        self.axes = axes

    def build(self, tensor_shape, name, layer):
        size = (int(np.prod(tensor_shape[-self.axes :])),) if self.axes else ()
        limit = layer.add_weight(f"{name}_limit", shape=size, initializer="ones", trainable=False)
        return {"limit": limit}

    def __call__(self, inputs, training, weights, **kwargs):
        import tensorflow as tf

        limit, values = weights["limit"], inputs
        if self.axes > 1:
            # (height, width, channels, multiplier) as TFLite stores it: the converter follows.
            values = tf.reshape(inputs, (1, *inputs.shape[: -self.axes], -1))
        if training:
            axes = list(range(len(values.shape) - (1 if self.axes else 0)))
            largest = tf.reduce_max(tf.abs(values), axis=axes)
            smallest = tf.maximum(_SMALLEST_RANGE * tf.reduce_max(largest), 1e-9)
            limit.assign(tf.maximum(largest, smallest))
        fake = tf.quantization.fake_quant_with_min_max_vars
        if self.axes:
            fake = tf.quantization.fake_quant_with_min_max_vars_per_channel
        values = fake(values, -limit, limit, num_bits=8, narrow_range=True)
        return tf.reshape(values, inputs.shape) if self.axes > 1 else values

    def get_config(self):
        return {"axes": self.axes}


class LayerConfig(_quantization.QuantizeConfig):
    """What of a layer is quantised.

    Args:
        kernel: name of its kernel, or None.
        axes: see `KernelQuantizer`.
        output: is its output?
    """

    def __init__(self, kernel=None, axes=0, output=True):
        self.kernel, self.axes, self.output = kernel, axes, output

    def get_weights_and_quantizers(self, layer):
        if self.kernel is None:
            return []
        return [(getattr(layer, self.kernel), KernelQuantizer(self.axes))]

    def get_activations_and_quantizers(self, layer):
        return []

    def set_quantize_weights(self, layer, quantize_weights):
        for value in quantize_weights:
            setattr(layer, self.kernel, value)

    def set_quantize_activations(self, layer, quantize_activations):
        """Activations are layers of their own here."""

    def get_output_quantizers(self, layer):
        if not self.output:
            return []
        return [
            _quantization.quantizers.MovingAverageQuantizer(
                num_bits=8, per_axis=False, symmetric=False, narrow_range=False
            )
        ]

    def get_config(self):
        return {"kernel": self.kernel, "axes": self.axes, "output": self.output}


class _Scheme(_quantization.QuantizeScheme):
    """Every layer has a config of its own: nothing to transform, nothing to look up."""

    def get_layout_transformer(self):
        return self

    def apply(self, model, layer_quantize_map):
        return model, layer_quantize_map

    def get_quantize_registry(self):
        return _quantization.default_8bit.Default8BitQuantizeRegistry()


def quantized(description, weights, batches):
    """The network with quantisation faked at each place where the TFLite file will quantise.

    Args:
        description, weights: as for `rebuild`.
        batches: lists of input arrays, from which the ranges are taken at the start.

    Returns:
        A `tf_keras.Model` like that of `rebuild`.
    """
    description = _with_inputs_as_layers(description)
    fused = _fused(description)

    def wrap(layer, call):
        kernel, axes = _KERNELS.get(call["kind"], (None, 0))
        output = call["kind"] not in _TRANSPARENT and call["output"] not in fused
        config = LayerConfig(kernel, axes, output)
        return _quantization.quantize_annotate_layer(layer, config)

    scope = {
        "LayerConfig": LayerConfig,
        "KernelQuantizer": KernelQuantizer,
        "Operation": operation_class(),
    }
    with _quantization.quantize_scope(scope):
        model = _quantization.quantize_apply(rebuild(description, weights, wrap), _Scheme())
    _set_ranges(model, description, weights, batches)
    return model


def _with_inputs_as_layers(description):
    """The same network with an identity after each input, which is where that is quantised."""
    calls, replaced = [], {}
    for number, name, _ in description["inputs"]:
        replaced[number] = f"{name} quantised"
        config = {"name": f"{name}_quantised", "kind": "identity", "config": {}}
        calls.append({**config, "inputs": [number], "output": replaced[number]})
    for call in description["calls"]:
        inputs = [replaced.get(number, number) for number in call["inputs"]]
        calls.append({**call, "inputs": inputs})
    return {**description, "calls": calls}


def _fused(description):
    """Tensors that no int8 file holds: a ReLU alone reads them, in the kernel that makes them."""
    readers = {}
    for call in description["calls"]:
        for number in call["inputs"]:
            readers.setdefault(number, []).append(call)
    outputs = {number for number, _ in description["outputs"]}
    return {
        call["output"]
        for call in description["calls"]
        if call["kind"] in _FUSING
        and call["output"] not in outputs
        and len(readers.get(call["output"], [])) == 1
        and _is_fusible(readers[call["output"]][0])
    }


def _is_fusible(call):
    config = call["config"]
    return (
        call["kind"] == "ReLU"
        and config.get("max_value") in (None, 6.0)
        and not config.get("negative_slope")
        and not config.get("threshold")
    )


def _set_ranges(model, description, weights, batches):
    """Sets the range of every quantised output to what the float network shows on the batches."""
    calls = description["calls"]
    every = {**description, "outputs": [[call["output"], call["name"]] for call in calls]}
    float_model = rebuild(every, weights)
    ranges = {}
    for batch in batches:
        outputs = outputs_of(float_model, batch)
        for call, value in zip(calls, outputs, strict=True):
            low, high = ranges.get(call["name"], (0.0, 0.0))
            value = np.asarray(value)
            ranges[call["name"]] = min(low, float(value.min())), max(high, float(value.max()))
    for layer in model.layers:
        low, high = ranges.get(layer.name.removeprefix("quant_"), (0.0, 0.0))
        for variable in layer.non_trainable_weights:
            name = variable.name.rpartition("/")[2]
            if name.startswith("output_min"):
                variable.assign(low)
            elif name.startswith("output_max"):
                variable.assign(max(high, low + 1e-3))
