"""Quantized ONNX models: what ONNX Runtime's `quantize_static` writes, and the QLinear operators, against ONNX Runtime."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime import quantization

import onnx_models
from onnx_network import Network
from programs import run, succeed
from quantized_reference import QuantizedNetwork
from test_bit_exact import assert_equal_bits, decibels, run_module

SAMPLES = 3


def compile_model(model, folder, target):
    """Without calibration: a quantized model has its ranges."""
    onnx.save(model, folder / "model.onnx")
    succeed(
        "vtactl", "compile", folder / "model.onnx", "-o", folder / "model.vtab", "--target", target,
        "--dump-quantized", folder / "quantized",
    )  # fmt: skip
    succeed("vtactl", "verify", folder / "model.vtab")


def answers(model, inputs):
    """ONNX Runtime's, one operator at a time as the file has them."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


def ours(model, inputs, folder, target):
    compile_model(model, folder, target)
    outputs, device, _ = run_module(folder / "model.vtab", inputs, folder)
    assert_equal_bits(QuantizedNetwork(folder / "quantized"), inputs, outputs, device)
    (answer,) = outputs.values()
    return answer


class Quantized:
    """A QDQ model of one operator. `is_exact`: scales are powers of two."""

    def __init__(self, name, is_exact):
        self.net, self.is_exact = Network(name), is_exact
        self.random = self.net.random

    def scale(self, low, high):
        value = self.random.uniform(low, high)
        return np.float32(2.0 ** np.round(np.log2(value)) if self.is_exact else value)

    def pair(self, x, scale, zero, operator_type=np.uint8):
        parts = [self.net.constant(np.float32(scale)), self.net.constant(operator_type(zero))]
        return self.net.node("DequantizeLinear", self.net.node("QuantizeLinear", x, *parts), *parts)

    def weights(self, *shape):
        integers = self.random.integers(-127, 128, shape).astype(np.int8)
        scales = np.array([self.scale(0.002, 0.02) for _ in range(shape[0])], np.float32)
        parts = [self.net.constant(integers), self.net.constant(scales), self.net.constant(np.zeros(shape[0], np.int8))]
        return self.net.node("DequantizeLinear", *parts, axis=0), scales

    def bias(self, scales, input_scale):
        integers = self.random.integers(-500, 500, len(scales)).astype(np.int32)
        parts = [self.net.constant(integers), self.net.constant((scales * input_scale).astype(np.float32))]
        return self.net.node("DequantizeLinear", *parts, axis=0)

    def model(self, y, scale, zero):
        case = self.net.case(self.pair(y, scale, zero))
        return case.model, float(scale)


def conv(net):
    scale = net.scale(0.005, 0.02)
    x = net.pair(net.net.input(5, 9, 9), scale, 100)
    weights, scales = net.weights(20, 5, 3, 3)
    y = net.net.node("Conv", x, weights, net.bias(scales, scale), kernel_shape=[3, 3], pads=[1] * 4)
    return net.model(y, net.scale(0.02, 0.06), 120)


def conv_relu(net):
    scale = net.scale(0.005, 0.02)
    x = net.pair(net.net.input(16, 8, 8), scale, 128)
    weights, scales = net.weights(16, 16, 3, 3)
    y = net.net.node("Conv", x, weights, net.bias(scales, scale), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    return net.model(net.net.node("Relu", y), net.scale(0.02, 0.06), 0)


def depthwise(net):
    scale = net.scale(0.005, 0.02)
    x = net.pair(net.net.input(18, 7, 7), scale, 90)
    weights, scales = net.weights(18, 1, 3, 3)
    y = net.net.node("Conv", x, weights, net.bias(scales, scale), kernel_shape=[3, 3], group=18, pads=[1] * 4)
    return net.model(y, net.scale(0.01, 0.03), 130)


def gemm(net):
    scale = net.scale(0.005, 0.02)
    x = net.pair(net.net.input(40), scale, 70)
    weights, scales = net.weights(24, 40)
    y = net.net.node("Gemm", x, weights, net.bias(scales, scale), transB=1)
    return net.model(y, net.scale(0.02, 0.06), 110)


def add(net):
    x = net.net.input(16, 6, 6)
    a = net.pair(x, net.scale(0.005, 0.02), 128)
    b = net.pair(net.net.node("Relu", a), net.scale(0.003, 0.01), 0)
    return net.model(net.net.node("Add", a, b), net.scale(0.01, 0.03), 100)


def max_pool(net):
    scale = net.scale(0.005, 0.02)
    x = net.pair(net.net.input(16, 6, 6), scale, 128)
    y = net.net.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    return net.model(y, scale, 128)


def global_average(net):
    x = net.pair(net.net.input(16, 8, 8), net.scale(0.005, 0.02), 128)
    return net.model(net.net.node("GlobalAveragePool", x), net.scale(0.002, 0.01), 128)


OPERATORS = [conv, conv_relu, depthwise, gemm, add, max_pool, global_average]


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.__name__)
def test_within_one_step(operator, tmp_path):
    """Any scales, where the accelerator multiplies."""
    net = Quantized(operator.__name__, is_exact=False)
    model, step = operator(net)
    inputs = samples(model)
    difference = np.abs(ours(model, inputs, tmp_path, "sim") - answers(model, inputs)) / step
    assert difference.max() < 1.01


@pytest.mark.parametrize("target", ["pynq", "ultra96"])
@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.__name__)
def test_identical_on_shifts(operator, target, tmp_path):
    """Scales that are powers of two, where there are only shifts: halves go to the even integer too."""
    net = Quantized(operator.__name__, is_exact=True)
    model, _ = operator(net)
    inputs = samples(model)
    np.testing.assert_array_equal(ours(model, inputs, tmp_path, target), answers(model, inputs))


def samples(model):
    random = np.random.default_rng(1)
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:]]
    return {"x": random.uniform(-1, 1, (SAMPLES, *shape)).astype(np.float32)}


class Samples(quantization.CalibrationDataReader):
    def __init__(self, inputs):
        self.rest = iter([{"x": sample[None]} for sample in inputs["x"]])

    def get_next(self):
        return next(self.rest, None)


@pytest.mark.parametrize(
    "form", [quantization.QuantFormat.QDQ, quantization.QuantFormat.QOperator], ids=["qdq", "qlinear"]
)
@pytest.mark.parametrize("target", ["sim", "pynq"])
def test_quantize_static(target, form, tmp_path):
    """A residual network as ONNX Runtime quantizes it."""
    case = onnx_models.CASES["residual_network"]()
    model = case.model
    # A softmax hides errors.
    model.graph.output[0].name = model.graph.node[-1].input[0]
    del model.graph.node[-1]
    onnx.save(model, tmp_path / "float.onnx")
    quantization.quantize_static(
        tmp_path / "float.onnx", tmp_path / "static.onnx", Samples(case.samples(16, seed=1)), quant_format=form,
        per_channel=True, activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
    )  # fmt: skip
    inputs = case.samples(SAMPLES, seed=2)
    quantized = onnx.load(tmp_path / "static.onnx")
    answer = ours(quantized, inputs, tmp_path, target)
    assert decibels(answers(model, inputs), answer) >= 20
    assert decibels(answers(quantized, inputs), answer) >= (30 if target == "sim" else 20)


@pytest.mark.parametrize(
    "form", [quantization.QuantFormat.QDQ, quantization.QuantFormat.QOperator], ids=["qdq", "qlinear"]
)
def test_asymmetric_weights(form, tmp_path):
    """A zero point takes them beyond signed bytes: they are rounded anew."""
    case = onnx_models.CASES["residual_network"]()
    case.model.graph.output[0].name = case.model.graph.node[-1].input[0]
    del case.model.graph.node[-1]
    onnx.save(case.model, tmp_path / "float.onnx")
    quantization.quantize_static(
        tmp_path / "float.onnx", tmp_path / "static.onnx", Samples(case.samples(16, seed=1)), quant_format=form,
        activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QUInt8,
        extra_options={"WeightSymmetric": False},
    )  # fmt: skip
    inputs = case.samples(SAMPLES, seed=2)
    quantized = onnx.load(tmp_path / "static.onnx")
    assert decibels(answers(quantized, inputs), ours(quantized, inputs, tmp_path, "sim")) >= 30


def static(case, folder):
    """As ONNX Runtime quantizes it: what it has no integers for stays between dequantized values."""
    onnx.save(case.model, folder / "float.onnx")
    quantization.quantize_static(
        folder / "float.onnx", folder / "static.onnx", Samples(case.samples(16, seed=1)), per_channel=True,
        quant_format=quantization.QuantFormat.QDQ,
    )  # fmt: skip
    return onnx.load(folder / "static.onnx")


def mean_before_dense():
    """ONNX Runtime gives the mean no integers of its own, but those of what is made of it."""
    net = Network("mean_before_dense")
    y = net.node("Relu", net.conv(net.input(3, 8, 8), 3, 16, 3))
    y = net.node("Flatten", net.node("ReduceMean", y, axes=[2, 3], keepdims=1))
    return net.case(net.gemm(y, 16, 8))


def added_constants():
    """Of the whole shape and per channel: unsigned bytes with a zero point."""
    net = Network("added_constants")
    y = net.node("Add", net.conv(net.input(3, 8, 8), 3, 16, 3), net.uniform(-1, 1, 1, 16, 6, 6))
    y = net.node("Add", net.node("Relu", y), net.uniform(-0.5, 1, 16, 1, 1))
    return net.case(net.conv(y, 16, 8, 1))


@pytest.mark.parametrize("make", [mean_before_dense, added_constants])
def test_parts_without_integers(make, tmp_path):
    case = make()
    quantized = static(case, tmp_path)
    inputs = case.samples(SAMPLES, seed=2)
    assert decibels(answers(quantized, inputs), ours(quantized, inputs, tmp_path, "sim")) >= 30


def test_a_range_that_is_missing_is_named(tmp_path):
    net = Network("float_input")
    x = net.node("Sub", net.input(3, 8, 8, name="picture"), net.uniform(0, 1, 3, 1, 1))
    case = net.case(net.conv(x, 3, 16, 3))
    onnx.save(case.model, tmp_path / "float.onnx")
    reader = Samples({"x": case.samples(16, seed=1)["picture"]})
    reader.rest = iter([{"picture": sample["x"]} for sample in reader.rest])
    quantization.quantize_static(tmp_path / "float.onnx", tmp_path / "static.onnx", reader, per_channel=True)
    finished = run("vtactl", "compile", tmp_path / "static.onnx", "-o", tmp_path / "m.vtab")
    assert finished.returncode == 1 and 'value "picture" is float32' in finished.stderr
