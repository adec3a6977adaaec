"""Records `Tests/Fixtures/onnx`: small ONNX models, inputs for them and ONNX Runtime's answers, with which the
compiler's own tests compare its import and its float arithmetic.

    .venv/bin/python Tests/interop/record_fixtures.py
"""

import json
import pathlib

import numpy as np
import onnxruntime
from onnx import TensorProto, numpy_helper

from onnx_network import Network, table_of_cases

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "Fixtures/onnx"
CASES, case, family = table_of_cases()


def batch_axis(net, value, opset):
    if opset < 13:
        return net.node("Unsqueeze", value, axes=[0])
    return net.node("Unsqueeze", value, net.constant(np.array([0], np.int64)))


@family("all", {f"opset{opset}": (opset,) for opset in range(11, 25)})
def every_operator(name, opset):
    """Each operator in the form that this operator set gives it."""
    net = Network(name, opset)
    x = net.input(2, 6, 5)
    weights = net.random.normal(0, 0.3, (3, 2, 3, 3)).astype(np.float32)
    y = net.conv(net.node("Identity", x), 2, 3, 3, pads=[1, 1, 1, 1])
    z = net.node("Conv", x, net.node("Constant", value=numpy_helper.from_array(weights)), pads=[1, 1, 1, 1])
    y = net.node("Relu", net.node("Add", net.norm(y, 3), z))
    if opset < 12:
        y = net.node("Dropout", y, ratio=0.25)
        bounds = [net.node("Constant", value=numpy_helper.from_array(np.float32(v))) for v in (0.1, 1.5)]
    else:
        y = net.node("Dropout", y, net.constant(np.float32(0.25)), *([net.constant(False)] if opset > 12 else []))
        bounds = [net.node("Constant", value_float=value) for value in (0.1, 1.5)]
    y = net.node("Clip", y, *bounds)
    y = net.node("LeakyRelu", net.node("Add", y, net.constant(np.float32(-0.8))), alpha=0.4)
    y = net.node("Sub", net.node("Mul", y, net.uniform(0.5, 1.5, 3, 1, 1)), net.uniform(-1, 1, 3, 1, 1))
    y = net.node("Div", y, net.constant(np.float32(0.8)))
    y = net.node("MaxPool", y, kernel_shape=[2, 2], pads=[0, 0, 1, 1])
    y = net.node("ConvTranspose", y, net.weight(3, 3, 2, 1), net.uniform(-1, 1, 3), pads=[1, 0, 0, 0])
    factors = net.constant(np.array([1, 1, 2, 1], np.float32))
    roi = net.constant(np.zeros(0, np.float32)) if opset < 13 else ""
    y = net.node("Resize", y, roi, factors, mode="nearest")
    y = net.node("MaxPool", y, kernel_shape=[2, 1], strides=[2, 1])
    y = net.node("AveragePool", y, kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])
    flat = net.node("Flatten", y)
    flat = net.gemm(flat, 27, 4)
    pooled = net.node("Reshape", net.node("GlobalAveragePool", y), net.constant(np.array([0, -1], np.int64)))
    # What an exporter writes for x.view(x.size(0), x.size(1)).
    shape = net.node("Shape", y)
    batch = net.node("Gather", shape, net.constant(np.int64(0)))
    rest = net.node("Slice", shape, *(net.constant(np.array([value], np.int64)) for value in (1, 2)))
    wanted = net.node("Concat", net.node("Mul", batch_axis(net, batch, opset), net.constant(np.int64(1))), rest, axis=0)
    wanted = net.node("Cast", net.node("Cast", wanted, to=TensorProto.FLOAT), to=TensorProto.INT64)
    largest = net.node("Reshape", net.node("GlobalMaxPool", y), wanted)
    # Shape inference, which does not follow those numbers, sees the rank again.
    largest = net.node("Reshape", largest, net.constant(np.array([1, 3], np.int64)))
    scores = net.node("Add", net.node("MatMul", pooled, net.weight(3, 4)), flat)
    # A batch axis and one more: before opset 13 the same as now.
    return net.case(net.node("Softmax", scores, axis=1), largest)


@family(
    "conv",
    {
        "plain": (2, 3, 5, 4, 3, {}),
        "strides_pads_differ": (2, 3, 7, 6, [3, 2], {"strides": [2, 3], "pads": [0, 1, 2, 0]}),
        "same_upper": (1, 2, 6, 5, 3, {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        "same_lower": (1, 2, 6, 5, 3, {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
        "valid": (1, 2, 6, 5, 3, {"auto_pad": "VALID"}),
        "pads_beyond_kernel": (1, 1, 3, 3, 2, {"pads": [3, 3, 3, 3]}),
        "wide": (1, 1, 3, 150, [2, 5], {}),
        "deep": (30, 2, 4, 4, 3, {"pads": [1, 1, 1, 1]}),
    },
)
def convolution(name, channels_in, channels_out, height, width, kernel, attributes):
    net = Network(name)
    return net.case(net.conv(net.input(channels_in, height, width), channels_in, channels_out, kernel, **attributes))


@family("grouped", {"depthwise": (4, 4), "doubled": (4, 8), "of_2": (2, 6), "norm": (2, 4)})
def grouped_convolution(name, groups, channels_out):
    net = Network(name)
    weights, bias = net.weight(channels_out, 4 // groups, 3, 2), net.uniform(-1, 1, channels_out)
    y = net.node("Conv", net.input(4, 5, 4), weights, bias, group=groups, pads=[1, 0, 0, 1])
    return net.case(net.norm(y, channels_out) if name.endswith("norm") else y)


@family(
    "conv_transpose",
    {
        "plain": (3, [2, 3], {}),
        "stride2": (3, [4, 4], {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        "output_padding": (3, [3, 3], {"strides": [2, 3], "pads": [1, 0, 1, 2], "output_padding": [1, 2]}),
        "stride_above_kernel": (3, [2, 1], {"strides": [3, 2], "output_padding": [2, 1]}),
        "pads_beyond_kernel": (3, [2, 2], {"strides": [2, 2], "pads": [3, 0, 0, 4]}),
        "valid": (3, [3, 2], {"strides": [2, 1], "auto_pad": "VALID"}),
        "grouped": (2, [4, 3], {"strides": [2, 2], "group": 2}),
        "depthwise": (1, [3, 3], {"strides": [2, 2], "group": 4, "pads": [0, 1, 1, 0]}),
    },
)
def transposed_convolution(name, channels_out, kernel, attributes):
    """With a normalization, which must scale every phase."""
    net = Network(name)
    channels = channels_out * attributes.get("group", 1)
    weights, bias = net.weight(4, channels_out, *kernel), net.uniform(-1, 1, channels)
    y = net.node("ConvTranspose", net.input(4, 4, 5), weights, bias, kernel_shape=kernel, **attributes)
    return net.case(net.norm(y, channels))


@case
def conv_transpose_one_pixel():
    net = Network("conv_transpose_one_pixel")
    return net.case(net.node("ConvTranspose", net.input(3, 1, 2), net.weight(3, 2, 4, 3), strides=[1, 2]))


@family(
    "resize",
    {
        "scales": (11, (2, 3), {}),
        "sizes": (19, (3, 2), {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
        "prefer_ceil": (18, (3, 5), {"nearest_mode": "round_prefer_ceil"}),
        "asymmetric_half": (13, (2, 2), {"coordinate_transformation_mode": "asymmetric"}),
    },
)
def resize(name, opset, factors, attributes):
    net = Network(name, opset)
    x = net.input(2, 3, 2)
    if name.endswith("sizes"):
        sizes = net.constant(np.array([1, 2, 3 * factors[0], 2 * factors[1]], np.int64))
        return net.case(net.node("Resize", x, "", "", sizes, mode="nearest", **attributes))
    roi = net.constant(np.zeros(0, np.float32)) if opset < 13 else ""
    scales = net.constant(np.array([1, 1, *factors], np.float32))
    return net.case(net.node("Relu", net.node("Resize", x, roi, scales, mode="nearest", **attributes)))


@case
def conv_kernel_from_weights():
    net = Network("conv_kernel_from_weights")
    return net.case(net.node("Conv", net.input(2, 4, 4), net.weight(2, 2, 2, 2)))


@family(
    "max_pool",
    {
        "strides": ({"kernel_shape": [2, 3], "strides": [2, 1]},),
        "pads": ({"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 2, 0, 1]},),
        "ceil": ({"kernel_shape": [2, 3], "strides": [3, 2], "ceil_mode": 1},),
        "ceil_drops_window": ({"kernel_shape": [1, 1], "strides": [4, 4], "ceil_mode": 1, "pads": [0, 0, 0, 0]},),
        "same_upper": ({"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"},),
    },
)
def max_pool(name, attributes):
    net = Network(name)
    return net.case(net.node("MaxPool", net.input(2, 7, 6), **attributes))


@family(
    "average_pool",
    {
        "plain": (17, {"kernel_shape": [2, 3], "strides": [2, 1]}),
        "pads": (17, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
        "pads_counted": (17, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
        "pads_differ": (11, {"kernel_shape": [4, 3], "strides": [2, 3], "pads": [3, 0, 1, 2]}),
        "same_upper": (17, {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        "same_lower_counted": (
            17,
            {"kernel_shape": [2, 2], "auto_pad": "SAME_LOWER", "count_include_pad": 1},
        ),
        "ceil": (19, {"kernel_shape": [3, 3], "strides": [2, 4], "ceil_mode": 1}),
        "ceil_counted": (
            19,
            {
                "kernel_shape": [3, 3],
                "strides": [3, 2],
                "pads": [1, 1, 1, 0],
                "ceil_mode": 1,
                "count_include_pad": 1,
            },
        ),
        "dilations_of_one": (19, {"kernel_shape": [2, 2], "dilations": [1, 1]}),
    },
)
def average_pool(name, opset, attributes):
    net = Network(name, opset)
    return net.case(net.node("AveragePool", net.input(2, 7, 6), **attributes))


@case
def norm_then_pool_then_norm():
    """One folds into the convolution; the other cannot fold into an average whose edges differ."""
    net = Network("norm_then_pool_then_norm")
    y = net.norm(net.conv(net.input(2, 5, 5), 2, 3, 1), 3)
    return net.case(net.norm(net.node("AveragePool", y, kernel_shape=[3, 3], pads=[1, 1, 1, 1]), 3))


@case
def norm_without_epsilon():
    net = Network("norm_without_epsilon")
    parts = [net.uniform(0.5, 1, 2) for _ in range(4)]
    return net.case(net.node("BatchNormalization", net.input(2, 2, 2), *parts, momentum=0.8))


@family("leaky_relu", {"default": ({},), "half": ({"alpha": 0.5},), "zero": ({"alpha": 0.0},), "one": ({"alpha": 1.0},)})
def leaky_relu(name, attributes):
    """Folded, and of a maximum; a normalization behind it stays behind it."""
    net = Network(name)
    y = net.node("LeakyRelu", net.conv(net.input(2, 4, 4), 2, 3, 1), **attributes)
    y = net.node("MaxPool", net.norm(y, 3), kernel_shape=[2, 2])
    return net.case(net.node("Relu", net.node("LeakyRelu", y, **attributes)), y)


@family("clip", {"low": (-0.5, None), "high": (None, 0.5), "both": (-0.2, 0.3), "none": (None, None)})
def clip(name, low, high):
    net = Network(name)
    names = [net.constant(np.float32(bound)) if bound is not None else "" for bound in (low, high)]
    while names and not names[-1]:
        names.pop()
    return net.case(net.node("Clip", net.conv(net.input(1, 3, 3), 1, 2, 1), *names))


@family("add", {"channels": ((1, 2, 1, 1),), "channels_rank3": ((2, 1, 1),), "scalar": ((),), "one": ((1,),)})
def add_constant(name, shape):
    """ONNX's broadcasting, with the constant on either side."""
    net = Network(name)
    y = net.node("Add", net.uniform(-1, 1, *shape), net.input(2, 3, 3))
    return net.case(net.node("Add", y, net.uniform(-1, 1, *shape)))


@family("arithmetic", {"mul": ("Mul",), "sub": ("Sub",), "div": ("Div",)})
def constant_operands(name, operator):
    """On either side as far as that exists, per channel and one for all, as layers and folded."""
    net = Network(name)
    y = net.conv(net.input(2, 3, 3), 2, 3, 1)
    y = net.node(operator, net.node("Relu", y), net.uniform(0.5, 2, 3, 1, 1))
    if operator != "Div":
        y = net.node(operator, net.constant(np.float32(-0.7)), y)
    return net.case(net.node(operator, net.node("MaxPool", y, kernel_shape=[2, 2]), net.uniform(0.5, 2, 1)))


@case
def sub_activations():
    net = Network("sub_activations")
    return net.case(net.node("Sub", net.input(2, 3, 3, name="left"), net.input(2, 3, 3, name="right")))


@case
def add_itself():
    net = Network("add_itself")
    y = net.conv(net.input(1, 3, 3), 1, 2, 1)
    return net.case(net.node("Add", y, y))


@family(
    "gemm",
    {
        "transposed": ((4, 6), {"transB": 1}, (4,)),
        "straight": ((6, 4), {}, (4,)),
        "scaled": ((6, 4), {"alpha": 0.5, "beta": -2.0}, (1, 4)),
        "one_bias": ((6, 4), {}, (1,)),
        "no_bias": ((6, 4), {"alpha": 3.0}, None),
    },
)
def gemm(name, shape, attributes, bias):
    net = Network(name)
    parts = [net.weight(*shape)] + ([net.uniform(-1, 1, *bias)] if bias else [])
    return net.case(net.node("Gemm", net.input(6), *parts, **attributes))


@family("arranged", {f"opset{opset}": (opset,) for opset in range(11, 25)})
def every_arrangement(name, opset):
    """Operators that put elements elsewhere, and functions of the host, in the form of each operator set."""
    net = Network(name, opset)

    def axes(*values):
        return net.constant(np.array(values, np.int64))

    def with_axes(operator, y, values, since, **attributes):
        if opset < since:
            return net.node(operator, y, axes=values, **attributes)
        return net.node(operator, y, axes(*values), **attributes)

    x = net.input(2, 4, 3)
    y = net.node("Concat", net.conv(x, 2, 3, 1), x, net.node("Sigmoid", x), axis=-3)
    y = net.conv(net.node("Pad", y, axes(0, 0, 1, 0, 0, 0, 0, 2)), 7, 4, 2)
    y = net.node("Concat", net.node("Tanh", y), net.node("Exp", y), axis=3)
    y = net.node("Elu", net.node("Softplus", net.node("Transpose", y, perm=[0, 2, 3, 1])), alpha=0.7)
    y = net.node("HardSigmoid", net.node("Transpose", y, perm=[0, 3, 1, 2]), alpha=0.15, beta=0.4)
    if opset >= 14:
        y = net.node("HardSwish", y)
    mean = with_axes("ReduceMean", y, [2, -1], 18, keepdims=1)
    mean = with_axes("Squeeze", mean, [2, -1], 13)
    mean = with_axes("Unsqueeze", net.gemm(mean, 4, 5), [2], 13)
    return net.case(y, mean, with_axes("ReduceMean", y, [3, 2], 18, keepdims=0))


@family("reshape", {"order": ([0, 3, 2, 3],), "infer_batch": ([-1, 18],), "rank3": ([1, 9, 2],)})
def reshape(name, shape):
    """Of an input: the host arranges it."""
    net = Network(name)
    return net.case(net.node("Relu", net.node("Reshape", net.input(2, 3, 3), net.constant(np.array(shape, np.int64)))))


@case
def reshape_allowzero():
    net = Network("reshape_allowzero")
    return net.case(net.node("Reshape", net.input(2, 3), net.constant(np.array([1, 6], np.int64)), allowzero=1))


@case
def relu_behind_reshape():
    net = Network("relu_behind_reshape")
    y = net.node("Flatten", net.conv(net.input(2, 3, 3), 2, 2, 2))
    return net.case(net.node("Relu", y))


@case
def flatten_negative():
    net = Network("flatten_negative")
    return net.case(net.gemm(net.node("Flatten", net.conv(net.input(2, 3, 3), 2, 2, 2), axis=-3), 8, 3))


@family(
    "softmax",
    {
        "opset11_joins_axes": (11, {"axis": 1}),
        "opset11_default": (11, {}),
        "opset12_last": (12, {"axis": -1}),
        "opset13_one_axis": (13, {"axis": 1}),
        "opset13_default": (13, {}),
        "opset21_last": (21, {"axis": 3}),
    },
)
def softmax(name, opset, attributes):
    """Joins all axes behind the first before opset 13; one axis from then on."""
    net = Network(name, opset)
    return net.case(net.node("Softmax", net.conv(net.input(1, 2, 3), 1, 2, 1), **attributes))


@family("constant", {"floats": (13, {"value_floats": [0.5, -0.25]}), "tensor": (11, None)})
def constant(name, opset, attributes):
    """The bias of a convolution."""
    net = Network(name, opset)
    bias = np.array([0.5, -0.25], np.float32)
    node = net.node("Constant", **(attributes or {"value": numpy_helper.from_array(bias)}))
    return net.case(net.node("Conv", net.input(1, 2, 2), net.weight(2, 1, 1, 1), node))


@case
def constant_ints():
    net = Network("constant_ints")
    shape = net.node("Constant", value_ints=[1, -1])
    return net.case(net.node("Reshape", net.node("Relu", net.input(2, 2, 2)), shape))


@case
def dropout_and_identity():
    net = Network("dropout_and_identity")
    y = net.node("Dropout", net.node("Identity", net.input(2, 2, 2)), net.constant(np.float32(0.5)))
    return net.case(net.node("Relu", y))


@case
def two_outputs():
    net = Network("two_outputs")
    y = net.node("Relu", net.conv(net.input(1, 3, 3), 1, 2, 2))
    return net.case(y, net.node("GlobalAveragePool", y))


def recorded(name):
    """A case's model, one sample of its inputs and the answers to it."""
    made = CASES[name]()
    inputs = made.samples(1, seed=3)
    options = onnxruntime.SessionOptions()
    # As written: no fusion of ours is compared with one of theirs.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(made.model.SerializeToString(), options, ["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    answers = dict(zip(outputs, session.run(outputs, inputs), strict=True))
    return made.model, inputs, answers


def described(tensors):
    """With nine digits a float32 survives."""
    return {
        name: {"shape": list(tensor.shape), "values": [float(f"{value:.9g}") for value in tensor.ravel()]}
        for name, tensor in tensors.items()
    }


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    entries = {}
    for name in sorted(CASES):
        model, inputs, answers = recorded(name)
        (FOLDER / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))
        entries[name] = {"inputs": described(inputs), "outputs": described(answers)}
    rows = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items()]
    (FOLDER / "answers.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main()
