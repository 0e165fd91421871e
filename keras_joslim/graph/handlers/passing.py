"""Operations that leave the channels as they are: activations, pooling, padding, images."""

import keras
from keras.src.applications.convnext import StochasticDepth

from keras_joslim.graph.handlers.table import fixed_like, freeze, handles, on_last_axis

layers = keras.layers


@handles(
    # Activations.
    layers.Activation,
    layers.ReLU,
    layers.LeakyReLU,
    layers.ELU,
    layers.Softmax,
    "Celu",
    "Elu",
    "Gelu",
    "HardShrink",
    "HardSigmoid",
    "HardSilu",
    "HardTanh",
    "LeakyRelu",
    "LogSigmoid",
    "LogSoftmax",
    "Relu",
    "Relu6",
    "Selu",
    "Sigmoid",
    "Silu",
    "SoftShrink",
    "Softmax",
    "Softplus",
    "Softsign",
    "SparsePlus",
    "SparseSigmoid",
    "Sparsemax",
    "Squareplus",
    "Tanh",
    "TanhShrink",
    "Threshold",
    # Functions of one element.
    "Abs",
    "Absolute",
    "Cast",
    "Cbrt",
    "Ceil",
    "Clip",
    "Copy",
    "Cos",
    "Erf",
    "Exp",
    "Exp2",
    "Expm1",
    "Floor",
    "Isfinite",
    "Isinf",
    "Isnan",
    "Log",
    "Log10",
    "Log1p",
    "Log2",
    "LogicalNot",
    "NanToNum",
    "Negative",
    "OnesLike",
    "Reciprocal",
    "Round",
    "Rsqrt",
    "Sign",
    "Sin",
    "Sqrt",
    "Square",
    "StopGradient",
    "Tan",
    "Trunc",
    "ZerosLike",
    # A norm over the active channels.
    "Normalize",
    # Noise and regularisation.
    layers.ActivityRegularization,
    layers.AlphaDropout,
    layers.Dropout,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.Identity,
    layers.Masking,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.SpatialDropout3D,
    StochasticDepth,
    # Pooling.
    layers.AdaptiveAveragePooling1D,
    layers.AdaptiveAveragePooling2D,
    layers.AdaptiveAveragePooling3D,
    layers.AdaptiveMaxPooling1D,
    layers.AdaptiveMaxPooling2D,
    layers.AdaptiveMaxPooling3D,
    layers.AveragePooling1D,
    layers.AveragePooling2D,
    layers.AveragePooling3D,
    layers.GlobalAveragePooling1D,
    layers.GlobalAveragePooling2D,
    layers.GlobalAveragePooling3D,
    layers.GlobalMaxPooling1D,
    layers.GlobalMaxPooling2D,
    layers.GlobalMaxPooling3D,
    layers.MaxPooling1D,
    layers.MaxPooling2D,
    layers.MaxPooling3D,
    "AveragePool",
    "MaxPool",
    # Padding, cropping and resizing of the other axes.
    layers.CenterCrop,
    layers.Cropping1D,
    layers.Cropping2D,
    layers.Cropping3D,
    layers.Resizing,
    layers.UpSampling1D,
    layers.UpSampling2D,
    layers.UpSampling3D,
    layers.ZeroPadding1D,
    layers.ZeroPadding2D,
    layers.ZeroPadding3D,
    "CropImages",
    "PadImages",
    "Resize",
    # Image augmentation that moves pixels. What changes colours stands on images, whose
    # channels are fixed anyway.
    layers.RandomCrop,
    layers.RandomFlip,
    layers.RandomPerspective,
    layers.RandomRotation,
    layers.RandomShear,
    layers.RandomTranslation,
    layers.RandomZoom,
)
def unchanged(node, inputs, partition):
    """One input, one output, the same channels."""
    return [inputs[0]]


@handles(layers.Lambda)
def opaque(node, inputs, partition):
    """A function that cannot be looked into: full width."""
    return freeze(node, inputs, partition, "a Lambda may do anything to its input's channels")


@handles(
    "Amax",
    "Amin",
    "All",
    "Any",
    "Logsumexp",
    "Max",
    "Mean",
    "Min",
    "Norm",
    "Prod",
    "Std",
    "Sum",
    "Var",
)
def reduction(node, inputs, partition):
    """Reduced over other axes the channels stay; over the channels none are left."""
    tensor, operation = node.input_tensors[0], node.operation
    if not on_last_axis(operation.axis, len(tensor.shape)):
        return [inputs[0]]
    return [fixed_like(node.outputs[0])]
