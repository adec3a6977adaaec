"""A network of ResNet-18's shape (He et al., 2015) with random weights: 224 x 224 pictures, 1.8 GMAC."""

import numpy as np
import onnx

from onnx_network import Network

STAGES = [(64, 1), (128, 2), (256, 2), (512, 2)]


def block(net, x, channels_in, channels, stride):
    options = {"pads": [1] * 4}
    long = net.node("Relu", net.conv(x, channels_in, channels, 3, strides=[stride] * 2, **options))
    long = net.conv(long, channels, channels, 3, **options)
    if stride != 1 or channels_in != channels:
        x = net.conv(x, channels_in, channels, 1, strides=[stride] * 2)
    return net.node("Relu", net.node("Add", long, x))


def model():
    net = Network("resnet18")
    y = net.node("Relu", net.conv(net.input(3, 224, 224), 3, 64, 7, pads=[3] * 4, strides=[2, 2]))
    y = net.node("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for wider, stride in STAGES:
        y = block(net, y, channels, wider, stride)
        y = block(net, y, wider, wider, 1)
        channels = wider
    y = net.node("Flatten", net.node("GlobalAveragePool", y))
    return net.case(net.gemm(y, channels, 1000), decibels=None)


def save(folder):
    """Writes `resnet18.onnx` and `resnet18-calibration.npz`; returns their paths."""
    case = model()
    network, calibration = folder / "resnet18.onnx", folder / "resnet18-calibration.npz"
    onnx.save(case.model, network)
    np.savez(calibration, **case.samples(2, seed=1))
    return network, calibration
