"""Writes the networks that VTA was shown with, and some that it could not run, as ONNX files with random weights.

    python3 Examples/networks/networks.py --output-dir DIR [NAME ...]

Needs `onnx` and `numpy`. For each NAME it writes `NAME.onnx`, `NAME-calibration.npz` and `NAME-samples.npz`. Weights
are He-initialised from a seed, with channels of uneven size; statistics of BatchNormalization are measured on a
batch, as training would leave them. Train such a network, or export a trained one, and it compiles the same way.
"""

import argparse
import pathlib
import zlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8
CALIBRATION_SAMPLES = 8
SAMPLES = 4


# MARK: the few operators that the statistics need


def windows(x, kernel, stride, pads, outside=0.0):
    top, left, bottom, right = pads
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=outside)
    view = np.lib.stride_tricks.sliding_window_view(x, kernel, (2, 3))
    return view[:, :, ::stride, ::stride]


def convolve(x, weights, stride, pads, groups):
    parts = []
    for part, kernel in zip(np.split(x, groups, 1), np.split(weights, groups), strict=True):
        view = windows(part, kernel.shape[2:], stride, pads)
        n, _, height, width = view.shape[:4]
        columns = view.transpose(0, 2, 3, 1, 4, 5).reshape(n * height * width, -1)
        result = (columns @ kernel.reshape(len(kernel), -1).T).reshape(n, height, width, -1)
        parts.append(result.transpose(0, 3, 1, 2))
    return np.concatenate(parts, 1)


def convolve_depthwise(x, weights, stride, pads):
    view = windows(x, weights.shape[2:], stride, pads)
    result = 0
    for i, j in np.ndindex(*weights.shape[2:]):
        result = result + view[..., i, j] * weights[:, 0, i, j][None, :, None, None]
    return result


def convolve_transposed(x, weights, stride, pad):
    n, _, height, width = x.shape
    kernel = weights.shape[2:]
    result = np.zeros(
        (n, weights.shape[1], (height - 1) * stride + kernel[0], (width - 1) * stride + kernel[1]), x.dtype
    )
    for i, j in np.ndindex(*kernel):
        part = np.tensordot(x, weights[:, :, i, j], (1, 0)).transpose(0, 3, 1, 2)
        result[:, :, i : i + height * stride : stride, j : j + width * stride : stride] += part
    return result[:, :, pad : result.shape[2] - pad, pad : result.shape[3] - pad]


class Network:
    """An ONNX graph under construction. Values are their names; each is computed for a batch as it is added."""

    def __init__(self, name, folds_norms=False):
        """`folds_norms`: normalization goes into the weights, as exporters leave it after optimization."""
        self.name, self.folds_norms = name, folds_norms
        self.random = np.random.default_rng(zlib.crc32(name.encode()))
        self.nodes, self.parameters, self.values = [], [], {}

    def input(self, name, batch):
        self.values[name] = batch
        self.inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *batch.shape[1:]])]
        return name

    def constant(self, array):
        name = f"parameter{len(self.parameters)}"
        self.parameters.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, operator, inputs, value, **attributes):
        name = f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=f"node_{name}", **attributes))
        self.values[name] = value
        return name

    def he(self, *shape, inputs):
        """He initialisation; `inputs` are what an output sums. Channels differ in size, as trained ones do."""
        uneven = np.exp(self.random.normal(0, 0.4, (shape[0], *[1] * (len(shape) - 1))))
        return (self.random.normal(0, np.sqrt(2 / inputs), shape) * uneven).astype(np.float32)

    def normalization(self, value, gain):
        """Scale, offset, mean and variance; rounded, so that they do not depend on the order of sums."""

        def rounded(x):
            return np.array([float(f"{entry:.3g}") for entry in x], np.float32)

        channels = value.shape[1]
        scale = gain * np.exp(self.random.normal(0, 0.3, channels))
        offset = self.random.normal(0, 0.2, channels) * gain
        return tuple(rounded(x) for x in (scale, offset, value.mean((0, 2, 3)), value.var((0, 2, 3)) + 1e-3))

    def normalized(self, operator, x, weights, value, gain, axis=0, **attributes):
        """An operator with weights and the BatchNormalization behind it, as two nodes or one."""
        scale, offset, mean, variance = self.normalization(value, gain)
        factor = scale / np.sqrt(variance + np.float32(1e-5))
        result = (value - mean[:, None, None]) * factor[:, None, None] + offset[:, None, None]
        if self.folds_norms:
            shape = [1] * weights.ndim
            shape[axis] = -1
            weights = weights * factor.reshape(shape)
            parts = [x, self.constant(weights), self.constant(offset - mean * factor)]
            return self.node(operator, parts, result, **attributes)
        y = self.node(operator, [x, self.constant(weights)], value, **attributes)
        parts = [self.constant(part) for part in (scale, offset, mean, variance)]
        return self.node("BatchNormalization", [y, *parts], result, epsilon=1e-5)

    def conv(self, x, channels, kernel, stride=1, groups=1, gain=1.0):
        batch = self.values[x]
        inputs = batch.shape[1] // groups
        weights = self.he(channels, inputs, kernel, kernel, inputs=inputs * kernel * kernel)
        pads = [kernel // 2] * 4
        if groups == channels == batch.shape[1]:
            value = convolve_depthwise(batch, weights, stride, pads)
        else:
            value = convolve(batch, weights, stride, pads, groups)
        return self.normalized(
            "Conv", x, weights, value, gain, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads, group=groups
        )

    def plain_conv(self, x, channels):
        """1 x 1, with a bias and without normalization: the last layer of a detector."""
        batch = self.values[x]
        weights = self.he(channels, batch.shape[1], 1, 1, inputs=batch.shape[1])
        bias = self.random.normal(0, 0.1, channels).astype(np.float32)
        value = convolve(batch, weights, 1, [0] * 4, 1) + bias[:, None, None]
        return self.node("Conv", [x, self.constant(weights), self.constant(bias)], value, kernel_shape=[1, 1])

    def conv_transpose(self, x, channels, kernel, stride, pad):
        batch = self.values[x]
        inputs = batch.shape[1] * max(1, kernel // stride) ** 2
        weights = self.he(batch.shape[1], channels, kernel, kernel, inputs=inputs)
        value = convolve_transposed(batch, weights, stride, pad)
        return weights, value, {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}

    def relu(self, x):
        return self.node("Relu", [x], np.maximum(self.values[x], 0))

    def relu6(self, x):
        bounds = [self.constant(np.float32(bound)) for bound in (0, 6)]
        return self.node("Clip", [x, *bounds], np.clip(self.values[x], 0, 6))

    def leaky_relu(self, x):
        value = self.values[x]
        return self.node("LeakyRelu", [x], np.where(value < 0, value * np.float32(0.1), value), alpha=0.1)

    def add(self, a, b):
        return self.node("Add", [a, b], self.values[a] + self.values[b])

    def max_pool(self, x, kernel, stride, pads):
        """`pads`: top, left, bottom, right."""
        value = windows(self.values[x], (kernel, kernel), stride, pads, -np.inf).max((4, 5))
        return self.node("MaxPool", [x], value, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads)

    def classifier(self, x, classes=1000):
        """Global average and a dense layer."""
        mean = self.values[x].mean((2, 3), keepdims=True)
        x = self.node("GlobalAveragePool", [x], mean)
        x = self.node("Flatten", [x], mean[:, :, 0, 0])
        features = mean.shape[1]
        weights = self.he(classes, features, inputs=features)
        bias = self.random.normal(0, 0.1, classes).astype(np.float32)
        value = self.values[x] @ weights.T + bias
        x = self.node("Gemm", [x, self.constant(weights), self.constant(bias)], value, transB=1)
        return self.node("Softmax", [x], value, axis=1)

    def model(self, *outputs):
        graph_outputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *self.values[name].shape[1:]])
            for name in outputs
        ]
        graph = helper.make_graph(self.nodes, self.name, self.inputs, graph_outputs, self.parameters)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        onnx.checker.check_model(model)
        return model


# MARK: inputs


def pictures(random, count, extent):
    """Three colours with the spectrum of photographs, mean 0 and deviation 1 as preprocessing leaves them."""
    frequency = np.hypot(np.fft.fftfreq(extent)[:, None], np.fft.rfftfreq(extent)[None, :])
    envelope = 1 / np.maximum(frequency, 1 / extent)
    shape = (count, 3, extent, extent // 2 + 1)
    spectrum = (random.normal(size=shape) + 1j * random.normal(size=shape)) * envelope
    # Colours of a photograph resemble each other.
    spectrum = 0.8 * spectrum[:, :1] + 0.6 * spectrum
    result = np.fft.irfft2(spectrum, (extent, extent))
    result -= result.mean((1, 2, 3), keepdims=True)
    result /= result.std((1, 2, 3), keepdims=True)
    return np.clip(result, -2.1, 2.6).astype(np.float32)


def latent(random, count, features):
    return random.normal(size=(count, features, 1, 1)).astype(np.float32)


# MARK: networks


def residual(net, x, extent_blocks, block):
    """Four stages of residual blocks behind a 7 x 7 convolution and a pool."""
    x = net.max_pool(net.relu(net.conv(x, 64, 7, stride=2)), 3, 2, [1] * 4)
    for stage, count in enumerate(extent_blocks):
        for index in range(count):
            x = block(net, x, 64 << stage, 2 if index == 0 and stage > 0 else 1)
    return net.model(net.classifier(x))


def shortcut(net, x, channels, stride):
    if stride == 1 and net.values[x].shape[1] == channels:
        return x
    return net.conv(x, channels, 1, stride=stride)


def basic_block(net, x, channels, stride):
    y = net.conv(net.relu(net.conv(x, channels, 3, stride=stride)), channels, 3, gain=0.5)
    return net.relu(net.add(y, shortcut(net, x, channels, stride)))


def bottleneck(net, x, channels, stride, groups=1, widening=1):
    y = net.relu(net.conv(x, channels * widening, 1))
    y = net.relu(net.conv(y, channels * widening, 3, stride=stride, groups=groups))
    y = net.conv(y, channels * 4, 1, gain=0.5)
    return net.relu(net.add(y, shortcut(net, x, channels * 4, stride)))


def resnext_block(net, x, channels, stride):
    return bottleneck(net, x, channels, stride, groups=32, widening=2)


def resnet18(net, x):
    return residual(net, x, [2, 2, 2, 2], basic_block)


def resnet34(net, x):
    return residual(net, x, [3, 4, 6, 3], basic_block)


def resnet50(net, x):
    return residual(net, x, [3, 4, 6, 3], bottleneck)


def resnext26(net, x):
    """32 groups, two blocks per stage."""
    return residual(net, x, [2, 2, 2, 2], resnext_block)


def mobilenetv2(net, x):
    x = net.relu6(net.conv(x, 32, 3, stride=2))
    for expansion, channels, count, stride in [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ]:
        for index in range(count):
            inputs, y = net.values[x].shape[1], x
            if expansion != 1:
                y = net.relu6(net.conv(y, inputs * expansion, 1))
            hidden, step = inputs * expansion, stride if index == 0 else 1
            y = net.conv(net.relu6(net.conv(y, hidden, 3, stride=step, groups=hidden)), channels, 1)
            x = net.add(x, y) if step == 1 and inputs == channels else y
    return net.model(net.classifier(net.relu6(net.conv(x, 1280, 1))))


def dcgan(net, x):
    """The generator: 100 random numbers to a picture of 64 x 64."""
    for channels, kernel, stride, pad in [(1024, 4, 1, 0), (512, 4, 2, 1), (256, 4, 2, 1), (128, 4, 2, 1)]:
        weights, value, attributes = net.conv_transpose(x, channels, kernel, stride, pad)
        x = net.relu(net.normalized("ConvTranspose", x, weights, value, 1.0, axis=1, **attributes))
    weights, value, attributes = net.conv_transpose(x, 3, 4, 2, 1)
    weights, value = weights / value.std(), value / value.std()
    x = net.node("ConvTranspose", [x, net.constant(weights)], value, **attributes)
    return net.model(net.node("Tanh", [x], np.tanh(value)))


def yolov3_tiny(net, x):
    """Two grids of boxes for 80 classes."""

    def layer(x, channels, kernel):
        return net.leaky_relu(net.conv(x, channels, kernel))

    for channels in (16, 32, 64, 128):
        x = net.max_pool(layer(x, channels, 3), 2, 2, [0] * 4)
    route = layer(x, 256, 3)
    x = layer(net.max_pool(route, 2, 2, [0] * 4), 512, 3)
    x = layer(layer(net.max_pool(x, 2, 1, [0, 0, 1, 1]), 1024, 3), 256, 1)
    coarse = net.plain_conv(layer(x, 512, 3), 255)
    x = layer(x, 128, 1)
    scales = net.constant(np.array([1, 1, 2, 2], np.float32))
    attributes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    x = net.node("Resize", [x, "", scales], net.values[x].repeat(2, 2).repeat(2, 3), **attributes)
    x = net.node("Concat", [x, route], np.concatenate([net.values[x], net.values[route]], 1), axis=1)
    return net.model(coarse, net.plain_conv(layer(x, 256, 3), 255))


# Name: (function, extent of the picture, whether normalization is folded into the weights).
NETWORKS = {
    "resnet18": (resnet18, 224, False),
    "resnet34": (resnet34, 224, True),
    "resnet50": (resnet50, 224, False),
    "mobilenetv2": (mobilenetv2, 224, False),
    "dcgan": (dcgan, None, False),
    "resnext26": (resnext26, 224, True),
    "yolov3-tiny": (yolov3_tiny, 416, False),
}


def inputs(name, count, seed):
    """A batch of inputs of a network."""
    random = np.random.default_rng([zlib.crc32(name.encode()), seed])
    extent = NETWORKS[name][1]
    return latent(random, count, 100) if extent is None else pictures(random, count, extent)


def write(name, folder):
    """Returns the paths of the network, its calibration and its samples."""
    build, extent, folds_norms = NETWORKS[name]
    net = Network(name, folds_norms)
    # A generator normalizes over few positions at first: it needs more samples than pictures do.
    model = build(net, net.input("data", inputs(name, 32 if extent is None else 4, seed=0)))
    paths = [folder / f"{name}{suffix}" for suffix in (".onnx", "-calibration.npz", "-samples.npz")]
    onnx.save(model, paths[0])
    np.savez(paths[1], data=inputs(name, CALIBRATION_SAMPLES, seed=1))
    np.savez(paths[2], data=inputs(name, SAMPLES, seed=2))
    return paths


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NETWORKS)}; without any: all")
    parser.add_argument("--output-dir", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(NETWORKS)
    if unknown:
        parser.error(f"no such network: {', '.join(sorted(unknown))}")
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or NETWORKS:
        print(write(name, arguments.output_dir)[0], flush=True)


if __name__ == "__main__":
    main()
