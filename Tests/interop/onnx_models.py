"""One ONNX model per layer type and variety: `CASES` maps a name to a function that returns its `Case`."""

import dataclasses

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from onnx_network import IR_VERSION, SEVERAL_LAYERS, Network, table_of_cases

CASES, case, family = table_of_cases()


# Convolution: (channels in, channels out, height, width, kernel, other attributes).
@family(
    "conv",
    {
        "1x1": (16, 16, 6, 6, 1, {}),
        "3x3": (16, 32, 8, 8, 3, {"pads": [1, 1, 1, 1]}),
        "5x5": (16, 16, 9, 9, 5, {"pads": [2, 2, 2, 2]}),
        "7x7_stride2": (3, 16, 32, 32, 7, {"pads": [3, 3, 3, 3], "strides": [2, 2]}),
        "1x1_stride2": (16, 32, 7, 7, 1, {"strides": [2, 2]}),
        "3x3_stride2_even": (16, 16, 8, 8, 3, {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
        "3x3_stride3": (16, 16, 11, 10, 3, {"strides": [3, 3]}),
        "strides_differ": (16, 16, 9, 12, 3, {"strides": [1, 3], "pads": [1, 0, 1, 0]}),
        "stride_above_kernel": (16, 16, 13, 13, 2, {"strides": [5, 4]}),
        "1x5": (8, 8, 4, 12, [1, 5], {"pads": [0, 2, 0, 2]}),
        "5x1": (8, 8, 12, 4, [5, 1], {"pads": [2, 0, 2, 0]}),
        "pads_differ": (16, 16, 7, 7, 3, {"pads": [0, 1, 2, 3]}),
        "pads_wide": (16, 16, 5, 5, 5, {"pads": [4, 4, 4, 4]}),
        "same_upper": (16, 16, 8, 7, 3, {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        "same_lower": (16, 16, 8, 7, 3, {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
        "valid": (16, 16, 8, 8, 3, {"auto_pad": "VALID"}),
        "channels_1_1": (1, 1, 6, 6, 3, {"pads": [1, 1, 1, 1]}),
        "channels_3_17": (3, 17, 6, 6, 3, {"pads": [1, 1, 1, 1]}),
        "channels_17_33": (17, 33, 6, 6, 3, {"pads": [1, 1, 1, 1]}),
        "channels_33_3": (33, 3, 6, 6, 1, {}),
        "whole_image": (16, 16, 5, 5, 5, {}),
        "one_pixel": (40, 24, 1, 1, 1, {}),
        "one_row": (16, 16, 1, 30, 3, {"pads": [1, 1, 1, 1]}),
        "one_column": (16, 16, 30, 1, 3, {"pads": [1, 1, 1, 1]}),
    },
)
def convolution(name, channels_in, channels_out, height, width, kernel, attributes):
    net = Network(name)
    y = net.conv(net.input(channels_in, height, width), channels_in, channels_out, kernel, **attributes)
    # An image of one pixel has few values to take a range from.
    return net.case(y, calibration_count=16 if height * width > 1 else 128)


# Groups: (groups, channels in, channels out, extent, kernel, other attributes).
@family(
    "grouped",
    {
        "depthwise": (32, 32, 32, 8, 3, {"pads": [1, 1, 1, 1]}),
        "depthwise_stride2_odd": (19, 19, 19, 9, 3, {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
        "depthwise_pointwise": (20, 20, 20, 5, 1, {}),
        "depthwise_doubled": (10, 10, 20, 7, 3, {"pads": [1, 1, 1, 1]}),
        "depthwise_large": (144, 144, 144, 56, 3, {"pads": [1, 1, 1, 1]}),
        "of_4": (16, 64, 64, 7, 3, {"pads": [1, 1, 1, 1]}),
        "of_32": (4, 128, 128, 7, 3, {"pads": [1, 1, 1, 1]}),
        "of_32_large": (32, 1024, 1024, 14, 3, {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
        "of_3_to_5": (7, 21, 35, 6, 3, {"pads": [1, 1, 1, 1]}),
        "two_halves": (2, 24, 40, 6, 5, {"pads": [2, 2, 2, 2]}),
    },
)
def grouped_convolution(name, groups, channels_in, channels_out, extent, kernel, attributes):
    net = Network(name)
    kernel = [kernel, kernel]
    weights = net.weight(channels_out, channels_in // groups, *kernel)
    bias = net.uniform(-0.3, 0.3, channels_out)
    y = net.node(
        "Conv", net.input(channels_in, extent, extent), weights, bias, kernel_shape=kernel, group=groups, **attributes
    )
    return net.case(net.node("Relu", y), calibration_count=16 if channels_in * extent < 1000 else 3)


@case
def mobile_block():
    """MobileNetV2's: expand, depthwise, project, each normalized; the shortcut joins the narrow ends."""
    net = Network("mobile_block")

    def relu6(y):
        return net.node("Clip", y, net.constant(np.float32(0)), net.constant(np.float32(6)))

    x = net.norm(net.conv(net.input(3, 12, 12), 3, 24, 3, bias=False, strides=[2, 2], pads=[1] * 4), 24)
    y = relu6(net.norm(net.conv(x, 24, 144, 1, bias=False), 144))
    y = net.node("Conv", y, net.weight(144, 1, 3, 3), kernel_shape=[3, 3], group=144, pads=[1] * 4)
    y = net.norm(net.conv(relu6(net.norm(y, 144)), 144, 24, 1, bias=False), 24)
    return net.case(net.node("Add", x, y), decibels=20)


# Transposed convolution: (channels in, channels out, height, width, kernel, other attributes).
@family(
    "conv_transpose",
    {
        "4x4_stride2": (32, 16, 8, 8, 4, {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        "4x4_one_pixel": (100, 64, 1, 1, 4, {}),
        "3x3_stride1": (16, 16, 6, 6, 3, {"pads": [1, 1, 1, 1]}),
        "3x3_stride2": (16, 20, 5, 6, 3, {"strides": [2, 2]}),
        "3x3_output_padding": (
            16,
            16,
            6,
            5,
            3,
            {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
        ),
        "2x2_stride2": (17, 33, 6, 6, 2, {"strides": [2, 2]}),
        "2x2_stride3": (16, 16, 5, 5, 2, {"strides": [3, 3], "output_padding": [0, 2]}),
        "5x4_strides_differ": (16, 16, 6, 7, [5, 4], {"strides": [2, 3], "pads": [2, 0, 1, 3]}),
        "pads_wide": (16, 16, 6, 6, 4, {"strides": [2, 2], "pads": [3, 3, 3, 3]}),
        "pads_beyond_kernel": (16, 16, 7, 7, 2, {"strides": [2, 2], "pads": [3, 0, 4, 5]}),
        "three_colours": (64, 3, 32, 32, 4, {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        "large": (256, 128, 16, 16, 4, {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    },
)
def transposed_convolution(name, channels_in, channels_out, height, width, kernel, attributes):
    net = Network(name)
    kernel = kernel if isinstance(kernel, list) else [kernel, kernel]
    spread = 1.5 / np.sqrt(channels_in * max(1, kernel[0] * kernel[1] // 4))
    weights = net.weight(channels_in, channels_out, *kernel, spread=spread)
    bias = net.uniform(-0.3, 0.3, channels_out)
    y = net.node(
        "ConvTranspose",
        net.input(channels_in, height, width),
        weights,
        bias,
        kernel_shape=kernel,
        **attributes,
    )
    count = 64 if height * width == 1 else 16 if channels_in * height * width < 10000 else 3
    return net.case(net.node("Relu", y), calibration_count=count)


@family("conv_transpose_groups", {"depthwise": (24, 24), "of_4": (6, 12)})
def grouped_transposed_convolution(name, groups, channels_out):
    net = Network(name)
    weights = net.weight(24, channels_out // groups, 4, 4)
    y = net.node("ConvTranspose", net.input(24, 6, 6), weights, group=groups, strides=[2, 2], pads=[1] * 4)
    return net.case(y)


@case
def generator():
    """The beginning and the end of DCGAN's."""
    net = Network("generator")
    y = net.node("Reshape", net.input(40), net.constant(np.array([-1, 40, 1, 1], np.int64)))
    for channels_in, channels_out, attributes in (
        (40, 48, {}),
        (48, 24, {"strides": [2, 2], "pads": [1] * 4}),
        (24, 3, {"strides": [2, 2], "pads": [1] * 4}),
    ):
        spread = (channels_in * (4 if attributes else 1)) ** -0.5
        weights = net.weight(channels_in, channels_out, 4, 4, spread=spread)
        y = net.node("ConvTranspose", y, weights, kernel_shape=[4, 4], **attributes)
        y = net.node("Relu", net.norm(y, channels_out)) if channels_out > 3 else y
    return net.case(y, calibration_count=64, decibels=20)


# Nearest resize: operator set, factors, other attributes.
@family(
    "resize",
    {
        "2x": (13, (2, 2), {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
        "2x_default": (11, (2, 2), {}),
        "3x1": (19, (3, 1), {}),
        "1x4": (19, (1, 4), {"coordinate_transformation_mode": "pytorch_half_pixel"}),
    },
)
def resize(name, opset, factors, attributes):
    net = Network(name, opset)
    x = net.conv(net.input(3, 7, 6), 3, 20, 3, pads=[1] * 4)
    scales = net.constant(np.array([1, 1, *factors], np.float32))
    roi = net.constant(np.zeros(0, np.float32)) if opset < 13 else ""
    y = net.node("Resize", x, roi, scales, mode="nearest", **attributes)
    return net.case(net.conv(y, 20, 16, 3), decibels=SEVERAL_LAYERS)


@case
def resize_large():
    net = Network("resize_large")
    scales = net.constant(np.array([1, 1, 2, 2], np.float32))
    return net.case(net.node("Resize", net.input(40, 52, 52), "", scales), calibration_count=3)


# Layers that do not fit the scratchpads at once.
@family(
    "large",
    {
        "64x56x56": (64, 64, 56, 56, 3, {"pads": [1, 1, 1, 1]}),
        "256x14x14": (256, 256, 14, 14, 3, {"pads": [1, 1, 1, 1]}),
        "512x7x7_pointwise": (512, 512, 7, 7, 1, {}),
        "wide_rows": (16, 16, 5, 300, 3, {"pads": [1, 1, 1, 1]}),
        "tall_columns": (16, 16, 300, 5, 3, {"pads": [1, 1, 1, 1]}),
        "wide_stride2": (3, 16, 20, 224, 7, {"pads": [3, 3, 3, 3], "strides": [2, 2]}),
    },
)
def large_convolution(name, *arguments):
    return dataclasses.replace(convolution(name, *arguments), calibration_count=3)


@case
def conv_no_bias():
    net = Network("conv_no_bias")
    return net.case(net.conv(net.input(16, 6, 6), 16, 16, 3, bias=False))


@case
def conv_uneven_channels():
    """Per-channel ranges: zero weights, weights a millionth and ten thousand times the usual."""
    net = Network("conv_uneven_channels")
    x = net.input(16, 6, 6)
    weights = net.random.normal(0, 0.1, (16, 16, 3, 3)).astype(np.float32)
    weights[0], weights[1], weights[2] = 0, weights[1] * 1e-6, weights[2] * 10
    bias = np.linspace(-1, 1, 16, dtype=np.float32)
    return net.case(net.node("Conv", x, net.constant(weights), net.constant(bias), kernel_shape=[3, 3]))


@case
def conv_large_bias():
    """The output's range is mostly bias."""
    net = Network("conv_large_bias")
    x, bias = net.input(16, 6, 6), np.linspace(-40, 40, 16, dtype=np.float32)
    return net.case(net.node("Conv", x, net.weight(16, 16, 3, 3), net.constant(bias), kernel_shape=[3, 3]))


@case
def conv_pixels():
    """An input of 0...255."""
    net = Network("conv_pixels")
    return net.case(net.conv(net.input(3, 8, 8), 3, 16, 3, pads=[1, 1, 1, 1]), low=0, high=255)


@case
def conv_tiny_values():
    net = Network("conv_tiny_values")
    return net.case(net.conv(net.input(3, 8, 8), 3, 16, 3, bias=False), low=-1e-4, high=1e-4)


@case
def conv_extreme_values():
    """Every product at its largest: the accumulator and both clips are reached."""
    net = Network("conv_extreme_values")
    x, weights = net.input(64, 4, 4), np.full((16, 64, 3, 3), 0.5, np.float32)
    weights[::2] = -0.5
    return net.case(net.node("Conv", x, net.constant(weights), kernel_shape=[3, 3]), low=0.99, high=1)


@case
def conv_relu_dead():
    """No calibration sample gets through the activation: the output has no range at all."""
    net = Network("conv_relu_dead")
    x, bias = net.input(16, 4, 4), np.full(16, -100, np.float32)
    y = net.node("Conv", x, net.weight(16, 16, 1, 1), net.constant(bias), kernel_shape=[1, 1])
    return net.case(net.node("Relu", y), decibels=None)


@case
def conv_chain():
    net = Network("conv_chain")
    x = net.input(3, 12, 12)
    for channels_in, channels_out, stride in ((3, 16, 1), (16, 24, 2), (24, 40, 1)):
        x = net.node("Relu", net.conv(x, channels_in, channels_out, 3, pads=[1] * 4, strides=[stride] * 2))
    return net.case(x, decibels=SEVERAL_LAYERS)


@family("norm", {"after_conv": (False,), "after_conv_relu": (True,)})
def folded_norm(name, relu):
    net = Network(name)
    y = net.norm(net.conv(net.input(16, 6, 6), 16, 20, 3, pads=[1] * 4), 20)
    return net.case(net.node("Relu", y) if relu else y)


@case
def norm_alone():
    net = Network("norm_alone")
    return net.case(net.norm(net.input(20, 5, 5), 20))


@case
def norm_after_pool():
    net = Network("norm_after_pool")
    return net.case(
        net.norm(net.node("MaxPool", net.input(20, 6, 6), kernel_shape=[2, 2], strides=[2, 2]), 20)
    )


@case
def norm_of_shared_conv():
    """The convolution's own output is used too: folding it would change that."""
    net = Network("norm_of_shared_conv")
    y = net.conv(net.input(16, 5, 5), 16, 16, 3, pads=[1] * 4)
    return net.case(net.node("Add", net.norm(y, 16), y), decibels=SEVERAL_LAYERS)


@case
def norm_then_conv():
    """Padding is zero after the normalization, so it can't be folded forwards."""
    net = Network("norm_then_conv")
    y = net.norm(net.input(16, 5, 5), 16)
    return net.case(net.conv(y, 16, 16, 3, pads=[1] * 4), decibels=SEVERAL_LAYERS)


@case
def relu_alone():
    net = Network("relu_alone")
    return net.case(net.node("Relu", net.input(20, 5, 5)))


@case
def relu_of_shared_conv():
    net = Network("relu_of_shared_conv")
    y = net.conv(net.input(16, 5, 5), 16, 16, 3, pads=[1] * 4)
    return net.case(net.node("Add", net.node("Relu", y), y), decibels=SEVERAL_LAYERS)


@family(
    "leaky_relu",
    {
        "default": ({}, 16),
        "tenth": ({"alpha": 0.1}, 20),
        "eighth": ({"alpha": 0.125}, 33),
        "large": ({"alpha": 0.9}, 16),
    },
)
def leaky_relu(name, attributes, channels):
    """Negative outputs are most of the signal's rounding: they must be rounded to nearest, too."""
    net = Network(name)
    y = net.conv(net.input(16, 8, 8), 16, channels, 3, pads=[1] * 4)
    return net.case(net.node("LeakyRelu", y, **attributes))


@case
def leaky_relu_alone():
    net = Network("leaky_relu_alone")
    return net.case(net.node("LeakyRelu", net.input(20, 5, 5), alpha=0.2))


@case
def leaky_relu_of_sum():
    """As in a Darknet block, then clipped."""
    net = Network("leaky_relu_of_sum")
    x = net.input(16, 6, 6)
    y = net.node("LeakyRelu", net.norm(net.conv(x, 16, 16, 3, pads=[1] * 4, bias=False), 16), alpha=0.1)
    y = net.node("LeakyRelu", net.node("Add", x, y), alpha=0.3)
    return net.case(net.node("Clip", y, net.constant(np.float32(-0.2))), decibels=SEVERAL_LAYERS)


@case
def leaky_relu_large():
    net = Network("leaky_relu_large")
    y = net.conv(net.input(16, 56, 56), 16, 64, 3, pads=[1] * 4)
    return net.case(net.node("LeakyRelu", y, alpha=0.1), calibration_count=3)


@family(
    "clip",
    {
        "relu6": (11, 0.0, 6.0),
        "symmetric": (13, -0.5, 0.5),
        "only_low": (13, -0.25, None),
        "only_high": (17, None, 0.25),
        "off_centre": (17, 0.2, 0.7),
    },
)
def clip(name, opset, low, high):
    net = Network(name, opset)
    y = net.conv(net.input(16, 5, 5), 16, 16, 3, pads=[1] * 4)
    bounds = [net.constant(np.float32(bound)) if bound is not None else "" for bound in (low, high)]
    return net.case(net.node("Clip", y, *(bounds if high is not None else bounds[:1])))


@case
def clip_alone():
    net = Network("clip_alone")
    return net.case(
        net.node("Clip", net.input(16, 5, 5), net.constant(np.float32(-0.4)), net.constant(np.float32(0.6)))
    )


@case
def clip_bounds_from_nodes():
    net = Network("clip_bounds_from_nodes")
    y = net.conv(net.input(16, 5, 5), 16, 16, 3)
    bounds = [net.node("Constant", value_float=bound) for bound in (0.0, 1.0)]
    return net.case(net.node("Clip", y, *bounds))


@case
def add_twice():
    net = Network("add_twice")
    x = net.input(16, 5, 5)
    return net.case(net.node("Add", x, x))


@case
def add_two_inputs():
    net = Network("add_two_inputs")
    return net.case(net.node("Add", net.input(20, 5, 5, name="left"), net.input(20, 5, 5, name="right")))


@case
def add_conv_identity():
    net = Network("add_conv_identity")
    x = net.input(16, 6, 6)
    y = net.node("Add", net.conv(x, 16, 16, 3, pads=[1] * 4), x)
    return net.case(net.node("Relu", y))


@case
def add_identity_conv():
    """Without an activation, and with the shortcut first."""
    net = Network("add_identity_conv")
    x = net.input(16, 6, 6)
    return net.case(net.node("Add", x, net.conv(x, 16, 16, 1)))


@case
def add_conv_conv():
    net = Network("add_conv_conv")
    x = net.input(16, 8, 8)
    long = net.norm(net.conv(x, 16, 32, 3, pads=[1] * 4, strides=[2, 2]), 32)
    short = net.norm(net.conv(x, 16, 32, 1, strides=[2, 2]), 32)
    return net.case(net.node("Relu", net.node("Add", long, short)))


@case
def add_chain():
    net = Network("add_chain")
    x = net.node("Relu", net.conv(net.input(3, 6, 6), 3, 20, 3, pads=[1] * 4))
    for _ in range(3):
        y = net.node("Relu", net.conv(x, 20, 20, 3, pads=[1] * 4))
        x = net.node("Relu", net.node("Add", net.conv(y, 20, 20, 3, pads=[1] * 4), x))
    return net.case(x, decibels=20)


@case
def add_uneven_scales():
    """One side is forty times the other."""
    net = Network("add_uneven_scales")
    x = net.input(16, 6, 6)
    loud = net.node("Conv", x, net.weight(16, 16, 1, 1, spread=10.0), kernel_shape=[1, 1])
    return net.case(net.node("Add", loud, x))


@case
def add_constant_per_channel():
    net = Network("add_constant_per_channel")
    y = net.conv(net.input(16, 5, 5), 16, 16, 3, bias=False)
    return net.case(net.node("Add", y, net.uniform(-0.5, 0.5, 1, 16, 1, 1)))


@family(
    "constant",
    {
        "mul_channels": ("Mul", (1, 16, 1, 1), False),
        "mul_one": ("Mul", (), True),
        "div_channels": ("Div", (16, 1, 1), False),
        "sub_channels": ("Sub", (1, 16, 1, 1), False),
        "sub_from": ("Sub", (1,), True),
    },
)
def constant_operand(name, operator, shape, is_first):
    """Behind a convolution it is folded; behind MaxPool it is a layer."""
    net = Network(name)
    y = net.conv(net.input(16, 6, 6), 16, 16, 3)
    for _ in range(2):
        operands = [y, net.uniform(0.4, 1.5, *shape)]
        y = net.node(operator, *(reversed(operands) if is_first else operands))
        y = net.node("MaxPool", y, kernel_shape=[2, 2])
    return net.case(y, decibels=SEVERAL_LAYERS)


@case
def sub_two_convs():
    net = Network("sub_two_convs")
    x = net.input(16, 6, 6)
    return net.case(net.node("Sub", net.conv(x, 16, 24, 3), net.node("Relu", net.conv(x, 16, 24, 3))))


@family(
    "max_pool",
    {
        "2x2": (16, 8, 8, {"kernel_shape": [2, 2], "strides": [2, 2]}),
        "3x3_stride2_padded": (16, 9, 9, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
        "3x3_stride1": (16, 5, 5, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
        "ceil": (16, 8, 8, {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
        "ceil_padded": (
            16,
            7,
            8,
            {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 1, 0], "ceil_mode": 1},
        ),
        "pads_differ": (16, 7, 7, {"kernel_shape": [3, 2], "strides": [2, 3], "pads": [2, 0, 1, 1]}),
        "same_upper": (16, 8, 8, {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        "odd_channels": (19, 6, 6, {"kernel_shape": [2, 2], "strides": [2, 2]}),
        "5x5_overlapping": (16, 9, 9, {"kernel_shape": [5, 5], "pads": [2, 2, 2, 2]}),
        "large": (64, 56, 56, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    },
)
def max_pool(name, channels, height, width, attributes):
    """All inputs are negative, so that zeros from padding would show."""
    net = Network(name)
    return net.case(net.node("MaxPool", net.input(channels, height, width), **attributes), low=-1, high=-0.1)


@case
def max_pool_relu():
    net = Network("max_pool_relu")
    y = net.conv(net.input(16, 8, 8), 16, 16, 3, pads=[1] * 4)
    return net.case(net.node("Relu", net.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])))


@family(
    "average_pool",
    {
        "2x2": (16, 8, 8, {"kernel_shape": [2, 2], "strides": [2, 2]}),
        "3x3": (16, 9, 9, {"kernel_shape": [3, 3], "strides": [3, 3]}),
        "padded_counted": (16, 7, 7, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
        "padded": (16, 7, 7, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
        "padded_stride2": (20, 9, 8, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}),
        "pads_differ": (16, 8, 7, {"kernel_shape": [5, 4], "pads": [0, 3, 4, 1]}),
        "5x5_padded": (16, 9, 9, {"kernel_shape": [5, 5], "pads": [2, 2, 2, 2]}),
        "same_upper": (16, 8, 8, {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        "same_counted": (
            16,
            8,
            8,
            {"kernel_shape": [2, 2], "auto_pad": "SAME_LOWER", "count_include_pad": 1},
        ),
        "ceil": (16, 8, 8, {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
        "ceil_counted": (
            16,
            7,
            8,
            {
                "kernel_shape": [4, 3],
                "strides": [3, 2],
                "pads": [1, 1, 1, 0],
                "ceil_mode": 1,
                "count_include_pad": 1,
            },
        ),
        "padded_large": (64, 56, 56, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
        "odd_channels": (19, 6, 6, {"kernel_shape": [2, 2], "strides": [2, 2]}),
    },
)
def average_pool(name, channels, height, width, attributes):
    net = Network(name, opset=19)
    return net.case(net.node("AveragePool", net.input(channels, height, width), **attributes), low=0)


@family("global_average", {"7x7": (20, 7, 7), "8x4": (16, 8, 4), "1x1": (16, 1, 1), "large": (64, 56, 56)})
def global_average(name, channels, height, width):
    net = Network(name)
    return net.case(net.node("GlobalAveragePool", net.input(channels, height, width)), low=0, decibels=25)


@family("flatten", {"axis1": ({"axis": 1},), "axis_negative": ({"axis": -3},)})
def flatten(name, attributes):
    """A spatial tensor becomes features: the order C, H, W must survive the packed layout."""
    net = Network(name)
    y = net.node("Relu", net.conv(net.input(3, 6, 6), 3, 20, 3))
    return net.case(net.gemm(net.node("Flatten", y, **attributes), 320, 10), decibels=SEVERAL_LAYERS)


@case
def flatten_last():
    net = Network("flatten_last")
    return net.case(net.node("Flatten", net.conv(net.input(3, 6, 6), 3, 20, 3)))


@family("reshape", {"keeps_batch": ([0, -1],), "infers_batch": ([-1, 320],)})
def reshape(name, shape):
    net = Network(name)
    y = net.conv(net.input(3, 6, 6), 3, 20, 3)
    y = net.node("Reshape", y, net.constant(np.array(shape, np.int64)))
    return net.case(net.gemm(y, 320, 10), decibels=SEVERAL_LAYERS)


@family(
    "gemm",
    {
        "transposed": (50, 20, {"transB": 1}),
        "straight": (50, 20, {}),
        "scaled": (50, 20, {"transB": 1, "alpha": 0.5, "beta": 2.0}),
        "one_output": (33, 1, {"transB": 1}),
        "one_input": (1, 33, {}),
        "large": (2048, 1000, {"transB": 1}),
    },
)
def gemm(name, features_in, features_out, attributes):
    net = Network(name)
    shape = (features_out, features_in) if attributes.get("transB") else (features_in, features_out)
    weights = net.weight(*shape, spread=features_in**-0.5)
    return net.case(
        net.node("Gemm", net.input(features_in), weights, net.uniform(-0.3, 0.3, features_out), **attributes)
    )


@case
def gemm_no_bias():
    net = Network("gemm_no_bias", opset=13)
    return net.case(net.node("Gemm", net.input(30), net.weight(30, 40, spread=0.2)))


@family("matmul", {"plain": (False, False), "bias": (True, False), "bias_relu": (True, True)})
def matmul(name, bias, relu):
    net = Network(name)
    y = net.node("MatMul", net.input(50), net.weight(50, 20, spread=0.15))
    y = net.node("Add", y, net.uniform(-0.5, 0.5, 20)) if bias else y
    return net.case(net.node("Relu", y) if relu else y)


@case
def dense_stack():
    net = Network("dense_stack")
    y = net.node("Relu", net.gemm(net.input(100), 100, 60))
    y = net.node("Relu", net.gemm(y, 60, 30))
    return net.case(net.gemm(y, 30, 10), decibels=SEVERAL_LAYERS)


@family("softmax", {"axis1": (11, 1), "axis_last": (13, -1)})
def softmax(name, opset, axis):
    net = Network(name, opset)
    logits = net.node("Gemm", net.input(30), net.weight(30, 12, spread=0.8))
    return net.case(net.node("Softmax", logits, axis=axis), decibels=20)


@case
def identity_and_dropout():
    net = Network("identity_and_dropout")
    y = net.node("Identity", net.conv(net.input(3, 6, 6), 3, 16, 3))
    y = net.node("Dropout", net.node("Relu", y), net.constant(np.float32(0.5)))
    return net.case(net.gemm(net.node("Flatten", y), 256, 10), decibels=SEVERAL_LAYERS)


@case
def weights_from_constant_nodes():
    net = Network("weights_from_constant_nodes")
    x = net.input(3, 6, 6)
    weights = net.random.normal(0, 0.2, (16, 3, 3, 3)).astype(np.float32)
    weights = net.node("Constant", value=numpy_helper.from_array(weights))
    return net.case(net.node("Conv", x, weights, kernel_shape=[3, 3]))


@family("opset", {str(opset): (opset,) for opset in IR_VERSION})
def opset(name, version):
    net = Network(name, version)
    y = net.norm(net.conv(net.input(3, 8, 8), 3, 16, 3, pads=[1] * 4), 16)
    y = net.node("Clip", y, net.constant(np.float32(0)), net.constant(np.float32(6)))
    y = net.node(
        "AveragePool", net.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]), kernel_shape=[2, 2]
    )
    y = net.node("Reshape", y, net.constant(np.array([0, -1], np.int64)))
    return net.case(net.gemm(net.node("Dropout", y), 144, 10), decibels=20)


# Channels of the parts that are joined: whole blocks, parts of blocks, many.
@family("concat", {"of_blocks": ([16, 32],), "of_parts": ([5, 17, 3],), "of_many": ([1] * 7,)})
def concatenation(name, channels):
    net = Network(name)
    x = net.input(8, 6, 5)
    parts = [net.node("Relu", net.conv(x, 8, count, 3, pads=[1] * 4)) for count in channels]
    y = net.node("Concat", *parts, axis=1)
    return net.case(net.node("LeakyRelu", y, alpha=0.25), net.conv(y, sum(channels), 20, 1), decibels=SEVERAL_LAYERS)


@case
def without_dram_between():
    """A maximum and residual sums behind convolutions, and parts of a concatenation that fill blocks."""
    net = Network("without_dram_between")
    x = net.input(3, 40, 40)
    y = net.node("Relu", net.conv(x, 3, 32, 7, pads=[3] * 4, strides=[2] * 2))
    y = net.node("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    first = net.node("Relu", net.node("Add", net.conv(y, 32, 32, 3, pads=[1] * 4), y))
    second = net.node("Add", first, net.conv(first, 32, 32, 1))
    parts = [net.node("Relu", net.conv(second, 32, count, 1)) for count in (16, 48)]
    return net.case(net.conv(net.node("Concat", *parts, axis=1), 64, 16, 3), decibels=SEVERAL_LAYERS)


@case
def concat_of_another_axis():
    """Heads of a detector: boxes of two grids in one list."""
    net = Network("concat_of_another_axis")
    x = net.input(8, 6, 6)
    heads = []
    for stride in (1, 2):
        y = net.node("Transpose", net.conv(x, 8, 12, 3, pads=[1] * 4, strides=[stride] * 2), perm=[0, 2, 3, 1])
        heads.append(net.node("Reshape", y, net.constant(np.array([0, -1, 4], np.int64))))
    return net.case(net.node("Sigmoid", net.node("Concat", *heads, axis=1)))


# Pads: top, left, bottom, right; whether a convolution takes them up.
@family("pad", {"folded": ([1, 2, 3, 0], True), "alone": ([2, 0, 1, 3], False), "cropping": ([-1, 2, 1, -2], True)})
def pad(name, pads, is_folded):
    net = Network(name)
    top, left, bottom, right = pads
    all_pads = net.constant(np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
    y = net.node("Pad", net.node("Relu", net.conv(net.input(4, 7, 7), 4, 20, 3)), all_pads)
    return net.case(net.conv(y, 20, 16, 3) if is_folded else y, decibels=SEVERAL_LAYERS)


# On the host: alone, and between two layers of the accelerator.
@family(
    "host",
    {
        "sigmoid": ("Sigmoid", {}),
        "tanh": ("Tanh", {}),
        "exp": ("Exp", {}),
        "softplus": ("Softplus", {}),
        "elu": ("Elu", {"alpha": 0.5}),
        "hard_sigmoid": ("HardSigmoid", {"alpha": 0.3, "beta": 0.6}),
        "hard_swish": ("HardSwish", {}),
    },
)
def host_function(name, operator, attributes):
    net = Network(name)
    y = net.node(operator, net.conv(net.input(3, 6, 6), 3, 16, 3), **attributes)
    return net.case(net.node(operator, net.conv(y, 16, 8, 3), **attributes), decibels=SEVERAL_LAYERS)


@case
def channels_last():
    """What converters of TensorFlow's models leave: transposes at both ends, a flattening in another order."""
    net = Network("channels_last")
    x = net.node("Transpose", net.input(8, 8, 3), perm=[0, 3, 1, 2])
    y = net.node("Relu", net.conv(x, 3, 8, 3, strides=[2, 2], pads=[0, 0, 1, 1]))
    y = net.node("Transpose", y, perm=[0, 2, 3, 1])
    y = net.node("Reshape", y, net.constant(np.array([0, -1], np.int64)))
    return net.case(net.gemm(y, 128, 10), decibels=SEVERAL_LAYERS)


@case
def shuffled_channels():
    """ShuffleNet's: the host does what the accelerator's layout cannot."""
    net = Network("shuffled_channels")
    y = net.conv(net.input(4, 5, 5), 4, 24, 1)
    y = net.node("Reshape", y, net.constant(np.array([0, 3, 8, 5, 5], np.int64)))
    y = net.node("Transpose", y, perm=[0, 2, 1, 3, 4])
    y = net.node("Reshape", y, net.constant(np.array([0, 24, 5, 5], np.int64)))
    return net.case(net.conv(y, 24, 16, 1), decibels=SEVERAL_LAYERS)


@case
def squeezed_mean():
    net = Network("squeezed_mean")
    y = net.node("ReduceMean", net.conv(net.input(3, 7, 7), 3, 24, 3), axes=[2, 3], keepdims=1)
    y = net.node("Squeeze", y, net.constant(np.array([2, 3], np.int64)))
    y = net.gemm(y, 24, 12)
    return net.case(net.node("Unsqueeze", y, net.constant(np.array([1], np.int64))), decibels=SEVERAL_LAYERS)


# Constants that differ by position: of the whole shape, of rows, of an image that has no batch axis; on either side.
@family(
    "position_constant",
    {
        "whole": ([1, 20, 5, 6], "Add", False),
        "rows": ([20, 5, 1], "Sub", False),
        "image": ([5, 6], "Sub", True),
        "of_input": (None, "Add", False),
    },
)
def position_constant(name, shape, operator, is_first):
    net = Network(name)
    x = net.input(3, 5, 6)
    y = net.node("Relu", net.conv(x, 3, 20, 3, pads=[1] * 4)) if shape else x
    operands = [y, net.uniform(-1, 1, *(shape or [3, 5, 6]))]
    y = net.node(operator, *(operands[::-1] if is_first else operands))
    return net.case(net.conv(y, 20 if shape else 3, 16, 3, pads=[1] * 4), decibels=SEVERAL_LAYERS)


@case
def shape_arithmetic():
    """What exporters write for `x.view(x.size(0), -1)` and for enlarging to the size of another tensor."""
    net = Network("shape_arithmetic")

    def numbers(*values):
        return net.constant(np.array(values, np.int64))

    x = net.node("Relu", net.conv(net.input(3, 8, 8), 3, 16, 3, pads=[1] * 4))
    small = net.node("Relu", net.conv(net.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), 16, 16, 1))
    extents = net.node("Slice", net.node("Shape", x), numbers(2), numbers(4), numbers(0))
    batch = net.node("Slice", net.node("Shape", small), numbers(0), numbers(2), numbers(0))
    sizes = net.node("Concat", batch, net.node("Cast", extents, to=TensorProto.INT64), axis=0)
    large = net.node(
        "Resize", small, "", "", sizes, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )
    y = net.node("GlobalMaxPool", net.node("Add", large, x))
    first = net.node("Unsqueeze", net.node("Gather", net.node("Shape", y), net.constant(np.int64(0))), numbers(0))
    y = net.node("Reshape", y, net.node("Concat", first, numbers(-1), axis=0))
    y = net.node("Gemm", y, net.weight(10, 16), net.weight(10, spread=0.2), transB=1)
    return net.case(y, decibels=SEVERAL_LAYERS)


@case
def outputs_that_nothing_reads():
    """A mask and indices, which older exporters name."""
    net = Network("outputs_that_nothing_reads", opset=12)
    y = net.node("Relu", net.conv(net.input(3, 8, 8), 3, 16, 3))
    for operator, attributes in (("MaxPool", {"kernel_shape": [2, 2]}), ("Dropout", {})):
        net.nodes.append(helper.make_node(operator, [y], [operator, f"{operator}/other"], **attributes))
        y = operator
    return net.case(net.conv(y, 16, 8, 1), decibels=SEVERAL_LAYERS)


@case
def two_outputs():
    """One of them is also read by the next layer."""
    net = Network("two_outputs")
    y = net.node("Relu", net.conv(net.input(3, 6, 6), 3, 16, 3))
    return net.case(y, net.conv(y, 16, 16, 1), decibels=SEVERAL_LAYERS)


@case
def strange_names():
    """Names become file names of dumps and outputs."""
    net = Network("strange_names")
    y = net.conv(net.input(3, 6, 6, name="the input:0"), 3, 16, 3, name="../конв/1")
    return net.case(net.node("Relu", y, name="out/put y"))


@case
def residual_network():
    """Everything together: stem, pooling, an identity block, a projection block, head."""
    net = Network("residual_network")
    y = net.node(
        "Relu",
        net.norm(net.conv(net.input(3, 32, 32), 3, 16, 7, bias=False, pads=[3] * 4, strides=[2, 2]), 16),
    )
    y = net.node("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    long = net.node("Relu", net.norm(net.conv(y, 16, 16, 3, bias=False, pads=[1] * 4), 16))
    long = net.norm(net.conv(long, 16, 16, 3, bias=False, pads=[1] * 4), 16)
    y = net.node("Relu", net.node("Add", long, y))
    long = net.node("Relu", net.norm(net.conv(y, 16, 32, 3, bias=False, pads=[1] * 4, strides=[2, 2]), 32))
    long = net.norm(net.conv(long, 32, 32, 3, bias=False, pads=[1] * 4), 32)
    short = net.norm(net.conv(y, 16, 32, 1, bias=False, strides=[2, 2]), 32)
    y = net.node("GlobalAveragePool", net.node("Relu", net.node("Add", long, short)))
    logits = net.gemm(net.node("Flatten", y), 32, 10)
    return net.case(net.node("Softmax", logits, axis=-1), decibels=20)
