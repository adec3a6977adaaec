"""Builds small ONNX models with seeded random weights."""

import dataclasses
import zlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# Decibels that int8 activations (one scale per tensor, requantized by shifts) can be expected to keep.
# Uniform inputs in 8 bits have about 50; a layer that sums many of them, with 8-bit weights and outputs,
# keeps over 30. A wrong layer falls near or below 0.
ONE_LAYER = 30
SEVERAL_LAYERS = 25
# Opset and the newest IR version that every runtime of that opset accepts.
IR_VERSION = {11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12}


@dataclasses.dataclass
class Case:
    model: onnx.ModelProto
    decibels: float | None
    low: float = -1.0
    high: float = 1.0
    calibration_count: int = 16

    def samples(self, count, seed):
        random = np.random.default_rng(seed)
        shapes = {
            i.name: [d.dim_value for d in i.type.tensor_type.shape.dim[1:]] for i in self.model.graph.input
        }
        return {
            name: random.uniform(self.low, self.high, (count, *shape)).astype(np.float32)
            for name, shape in shapes.items()
        }


def table_of_cases():
    """A dictionary of functions without arguments, and two decorators that fill it."""
    cases = {}

    def case(function):
        cases[function.__name__] = function
        return function

    def family(prefix, varieties):
        """Registers `function(name, *arguments)` once per row of `varieties`: {suffix: arguments}."""

        def register(function):
            for suffix, arguments in varieties.items():
                name = f"{prefix}_{suffix}"
                cases[name] = lambda name=name, arguments=arguments: function(name, *arguments)
            return function

        return register

    return cases, case, family


class Network:
    """Collects nodes; values are their names."""

    def __init__(self, name, opset=17):
        self.name, self.opset = name, opset
        self.random = np.random.default_rng(zlib.crc32(name.encode()))
        self.nodes, self.inputs, self.initializers = [], [], []

    def input(self, *shape, name="x"):
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape]))
        return name

    def constant(self, array, name=None):
        name = name or f"parameter{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weight(self, *shape, spread=None):
        """Normal weights that keep the variance of what they multiply."""
        spread = spread or 1 / np.sqrt(max(1, np.prod(shape[1:])))
        return self.constant(self.random.normal(0, spread, shape).astype(np.float32))

    def uniform(self, low, high, *shape):
        return self.constant(self.random.uniform(low, high, shape).astype(np.float32))

    def node(self, operator, *inputs, name=None, **attributes):
        name = name or f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=f"node_{name}", **attributes))
        return name

    def conv(self, x, channels_in, channels_out, kernel, bias=True, name=None, **attributes):
        kernel = [kernel, kernel] if isinstance(kernel, int) else kernel
        parts = [self.weight(channels_out, channels_in, *kernel)]
        if bias:
            parts.append(self.weight(channels_out, spread=0.3))
        return self.node("Conv", x, *parts, name=name, kernel_shape=kernel, **attributes)

    def norm(self, x, channels):
        parts = [
            self.uniform(-1.5, 1.5, channels),
            self.uniform(-0.5, 0.5, channels),
            self.uniform(-0.3, 0.3, channels),
            self.uniform(0.3, 2.0, channels),
        ]
        return self.node("BatchNormalization", x, *parts, epsilon=1e-4)

    def gemm(self, x, features_in, features_out, **attributes):
        return self.node(
            "Gemm",
            x,
            self.weight(features_out, features_in),
            self.weight(features_out, spread=0.2),
            transB=1,
            **attributes,
        )

    def case(self, *outputs, decibels=ONE_LAYER, **fields):
        graph = helper.make_graph(self.nodes, self.name, self.inputs, [], self.initializers)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=IR_VERSION[self.opset]
        )
        inferred = onnx.shape_inference.infer_shapes(_with_outputs(model, outputs), strict_mode=True)
        types = {value.name: value for value in inferred.graph.value_info}
        model.graph.output.extend(types[output] for output in outputs)
        onnx.checker.check_model(model)
        return Case(model, decibels, **fields)


def _with_outputs(model, outputs):
    """Shape inference needs some output; an Identity of each keeps the interesting values in `value_info`."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for index, output in enumerate(outputs):
        copy.graph.node.append(helper.make_node("Identity", [output], [f"_{index}"]))
        copy.graph.output.append(helper.make_empty_tensor_value_info(f"_{index}"))
    return copy
