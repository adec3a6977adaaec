"""ONNX files that must be refused: {what: (function from a folder to the file, words of the error)}."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

CASES = {}


def case(what, *words):
    def register(function):
        CASES[what] = (function, words)
        return function

    return register


def tensor(name, *shape, type=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, type, shape)


def save(folder, nodes, initializers=(), inputs=None, outputs=None, opset=17, **fields):
    inputs = inputs if inputs is not None else [tensor("x", "batch", 3, 8, 8)]
    outputs = outputs if outputs is not None else [tensor("y", "batch", 16, 6, 6)]
    graph = helper.make_graph(nodes, "bad", inputs, outputs, list(initializers))
    opsets = [helper.make_opsetid("", opset)] if opset else []
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, **fields)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def weight(*shape, name="w"):
    return numpy_helper.from_array(np.ones(shape, np.float32), name)


def conv(x="x", w="w", y="y", name="the_conv", **attributes):
    return helper.make_node("Conv", [x, w], [y], name=name, **attributes)


def relu(x="x", y="y", name="the_relu"):
    return helper.make_node("Relu", [x], [y], name=name)


@case("an empty file")
def empty(folder):
    (folder / "model.onnx").write_bytes(b"")
    return folder / "model.onnx"


@case("text")
def text(folder):
    (folder / "model.onnx").write_text("This is no model.\n" * 10)
    return folder / "model.onnx"


@case("a folder")
def directory(folder):
    return folder


@case("a file that is not there", "absent.onnx")
def absent(folder):
    return folder / "absent.onnx"


@case("a cyclic graph", "cycle")
def cyclic(folder):
    nodes = [
        helper.make_node("Add", ["x", "b"], ["a"], name="first"),
        relu("a", "b", "second"),
        relu("b", "y"),
    ]
    return save(folder, nodes)


@case("a node that reads itself")
def self_loop(folder):
    return save(folder, [helper.make_node("Add", ["x", "y"], ["y"], name="loop")])


@case("a 10 GB tensor in a small file", "w")
def huge_tensor(folder):
    huge = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[50_000, 50_000], raw_data=b"1234")
    return save(
        folder,
        [helper.make_node("Gemm", ["x", "w"], ["y"], name="dense")],
        [huge],
        [tensor("x", "batch", 50_000)],
        [tensor("y", "batch", 50_000)],
    )


@case("a 10 GB tensor without data", "w")
def huge_tensor_no_data(folder):
    huge = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[50_000, 50_000])
    return save(
        folder,
        [helper.make_node("Gemm", ["x", "w"], ["y"], name="dense")],
        [huge],
        [tensor("x", "batch", 50_000)],
        [tensor("y", "batch", 50_000)],
    )


@case("an extent product beyond 64 bits", "w")
def overflow(folder):
    huge = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 62, 16], raw_data=b"")
    return save(folder, [conv()], [huge])


@case("a negative extent", "w")
def negative_extent(folder):
    bad = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[-16, 3, 3, 3], raw_data=bytes(16 * 27 * 4))
    return save(folder, [conv()], [bad])


@case("a huge input")
def huge_input(folder):
    return save(
        folder,
        [relu()],
        inputs=[tensor("x", "batch", 3, 1 << 20, 1 << 20)],
        outputs=[tensor("y", "batch", 3, 1 << 20, 1 << 20)],
    )


@case("an input of 2^60 elements")
def overflowing_input(folder):
    extents = [1 << 30, 1 << 30]
    return save(
        folder,
        [relu()],
        inputs=[tensor("x", "batch", 16, *extents)],
        outputs=[tensor("y", "batch", 16, *extents)],
    )


@case("padding beyond all bounds", "the_conv")
def huge_padding(folder):
    return save(folder, [conv(pads=[1 << 40] * 4)], [weight(16, 3, 3, 3)])


@case("negative padding", "the_conv")
def negative_padding(folder):
    return save(folder, [conv(pads=[-9, -9, -9, -9])], [weight(16, 3, 3, 3)])


@case("a stride of zero", "the_conv")
def zero_stride(folder):
    return save(folder, [conv(strides=[0, 0])], [weight(16, 3, 3, 3)])


@case("too few strides", "the_conv")
def one_stride(folder):
    return save(folder, [conv(strides=[1])], [weight(16, 3, 3, 3)])


@case("a kernel larger than the image", "the_conv")
def large_kernel(folder):
    return save(folder, [conv()], [weight(16, 3, 9, 9)])


@case("a kernel without extent", "the_conv")
def empty_kernel(folder):
    return save(folder, [conv()], [weight(16, 3, 0, 0)])


@case("weights for other channels", "the_conv")
def wrong_channels(folder):
    return save(folder, [conv()], [weight(16, 5, 3, 3)])


@case("weights of another rank", "the_conv")
def wrong_rank(folder):
    return save(folder, [conv()], [weight(16, 27)])


@case("kernel_shape that contradicts the weights", "the_conv")
def contradictory_kernel(folder):
    return save(folder, [conv(kernel_shape=[5, 5])], [weight(16, 3, 3, 3)])


@case("an output padding as large as the stride", "the_conv", "output_padding is [2, 0] for strides of [2, 2]")
def output_padding(folder):
    node = helper.make_node(
        "ConvTranspose", ["x", "w"], ["y"], name="the_conv", strides=[2, 2], output_padding=[2, 0]
    )
    return save(folder, [node], [weight(3, 4, 3, 3)])


@case("a resize by a fraction", "the_resize", "a factor of [1.0, 1.0, 1.5, 2.0] is asked for")
def resize_fraction(folder):
    scales = numpy_helper.from_array(np.array([1, 1, 1.5, 2], np.float32), "scales")
    node = helper.make_node("Resize", ["x", "", "scales"], ["y"], name="the_resize", mode="nearest")
    return save(folder, [node], [scales])


@case("a slope above 1", "the_leaky", "alpha is 1.5, but alpha must be 1 or lie in 0…0.9375")
def steep_slope(folder):
    return save(folder, [helper.make_node("LeakyRelu", ["x"], ["y"], name="the_leaky", alpha=1.5)])


@case("a product of two activations", "the_mul", "both operands are computed")
def product(folder):
    return save(folder, [helper.make_node("Mul", ["x", "x"], ["y"], name="the_mul")])


@case("groups that do not divide the channels", "the_conv", "group is 2 of 3 and 18 channels")
def grouped(folder):
    return save(folder, [conv(group=2)], [weight(18, 1, 3, 3)])


@case("an operator outside the list", "the_sine", "Sin")
def unknown_operator(folder):
    return save(folder, [helper.make_node("Sin", ["x"], ["y"], name="the_sine")])


@case("an operator of another domain", "the_relu", "com.example")
def unknown_domain(folder):
    node = helper.make_node("Relu", ["x"], ["y"], name="the_relu", domain="com.example")
    return save(folder, [node])


@case("an operator without a name for its node", "Sin")
def unnamed_node(folder):
    return save(folder, [helper.make_node("Sin", ["x"], ["y"])])


@case("opset 10", "10")
def old_opset(folder):
    return save(folder, [relu()], opset=10)


@case("opset 999", "999")
def new_opset(folder):
    return save(folder, [relu()], opset=999)


@case("no opset")
def no_opset(folder):
    return save(folder, [relu()], opset=None)


@case("a value that nobody computes", "ghost")
def missing_value(folder):
    return save(folder, [relu("ghost")])


@case("an output that nobody computes", "y")
def missing_output(folder):
    return save(folder, [relu("x", "z")])


@case("a value computed twice", "y")
def computed_twice(folder):
    return save(folder, [relu(name="one"), relu(name="two")])


@case("no outputs")
def no_outputs(folder):
    return save(folder, [relu()], outputs=[])


@case("no inputs")
def no_inputs(folder):
    return save(folder, [conv("c", "w")], [weight(16, 3, 3, 3), weight(1, 3, 8, 8, name="c")], inputs=[])


@case("too few inputs of a node", "the_add")
def too_few_inputs(folder):
    return save(folder, [helper.make_node("Add", ["x"], ["y"], name="the_add")])


@case("no inputs of a node", "the_relu")
def node_without_inputs(folder):
    return save(folder, [helper.make_node("Relu", [], ["y"], name="the_relu")])


@case("addends of different shapes", "the_add")
def different_shapes(folder):
    nodes = [helper.make_node("Add", ["x", "z"], ["y"], name="the_add")]
    return save(folder, nodes, inputs=[tensor("x", "batch", 3, 8, 8), tensor("z", "batch", 5, 8, 8)])


@case("a reshape that does not fit", "the_reshape")
def bad_reshape(folder):
    shape = numpy_helper.from_array(np.array([0, 7], np.int64), "shape")
    return save(folder, [helper.make_node("Reshape", ["x", "shape"], ["y"], name="the_reshape")], [shape])


@case("a dense layer for other features", "the_gemm")
def bad_gemm(folder):
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("Gemm", ["f", "w"], ["y"], name="the_gemm"),
    ]
    return save(folder, nodes, [weight(100, 10)])


@case("an input of integers", "x")
def integer_input(folder):
    return save(folder, [relu()], inputs=[tensor("x", "batch", 3, 8, 8, type=TensorProto.INT64)])


@case("an input without a shape", "x")
def no_shape(folder):
    return save(folder, [relu()], inputs=[helper.make_tensor_value_info("x", TensorProto.FLOAT, None)])


@case("a symbolic height", "height", "--shape")
def symbolic(folder):
    return save(folder, [conv()], [weight(16, 3, 3, 3)], inputs=[tensor("x", "batch", 3, "height", 8)])


@case("weights that are no numbers", "w")
def not_a_number(folder):
    values = np.ones((16, 3, 3, 3), np.float32)
    values[3, 1, 1, 1] = np.nan
    return save(folder, [conv()], [numpy_helper.from_array(values, "w")])


@case("infinite weights", "w")
def infinite(folder):
    values = np.ones((16, 3, 3, 3), np.float32)
    values[3, 1, 1, 1] = np.inf
    return save(folder, [conv()], [numpy_helper.from_array(values, "w")])


def external(folder, location, length=16 * 27 * 4, offset=0):
    outside = TensorProto(
        name="w", data_type=TensorProto.FLOAT, dims=[16, 3, 3, 3], data_location=TensorProto.EXTERNAL
    )
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        outside.external_data.add(key=key, value=str(value))
    (folder / "model").mkdir()
    (folder / "secret").write_bytes(bytes(16 * 27 * 4))
    (folder / "model/data").write_bytes(bytes(16 * 27 * 4))
    return save(folder / "model", [conv()], [outside])


@case("external data at an absolute path", "w")
def absolute(folder):
    return external(folder, str(folder / "secret"))


@case("external data above the model", "..")
def above(folder):
    return external(folder, "../secret")


@case("external data above the model, hidden", "..")
def above_hidden(folder):
    return external(folder, "./data/../../secret")


@case("external data behind a link", "link")
def linked(folder):
    path = external(folder, "link")
    (folder / "model/link").symlink_to("../secret")
    return path


@case("external data behind a linked folder", "link")
def linked_folder(folder):
    path = external(folder, "link/secret")
    (folder / "model/link").symlink_to("..")
    return path


@case("external data that is not there", "absent")
def external_absent(folder):
    return external(folder, "absent")


@case("external data that is a device", "w")
def external_device(folder):
    return external(folder, "/dev/zero", length=10 << 30)


@case("external data beyond the end of its file", "data")
def external_short(folder):
    return external(folder, "data", offset=100)


@case("external data with a negative offset", "w")
def external_negative(folder):
    return external(folder, "data", offset=-4)


@case("10 GB of external data", "w")
def external_long(folder):
    return external(folder, "data", length=10 << 30)


@case("external data without a location", "w")
def external_nowhere(folder):
    return external(folder, "")
