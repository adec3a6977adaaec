"""Trains the digits network and writes every file of this folder that is not source.

A residual network of about 75,000 parameters learns scikit-learn's handwritten digits (1797 images of 8 x 8
pixels, values 0...16). The same description of the network is walked twice: once by JAX to train it, once to
write the ONNX graph, so the two cannot drift apart. Everything random comes from SEED: the same machine
writes the same bytes.
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.datasets import load_digits

SEED = 2024
HELD_OUT, CALIBRATION, PICTURES = 750, 100, 10
EPOCHS, BATCH, LEARNING_RATE, WEIGHT_DECAY = 60, 64, 2e-3, 2e-2
EPSILON = 1e-5
FOLDER = pathlib.Path(__file__).parent


def network(op, x):
    """From `image` (N, 1, 8, 8) to `logits` (N, 10)."""
    x = op.relu("stem", op.norm("stem", op.conv("stem", x, 1, 16, kernel=3)))
    x = residual_block(op, "block1", x, 16, 16)
    x = residual_block(op, "block2", x, 16, 32, stride=2)
    x = op.max_pool("pool", x)
    x = residual_block(op, "block3", x, 32, 64)
    return op.dense("classifier", op.global_average("average", x), 64, 10)


def residual_block(op, name, x, channels_in, channels_out, stride=1):
    """Two 3 x 3 convolutions beside a shortcut: the identity, or a 1 x 1 projection if the shape changes."""
    shortcut = x
    if channels_in != channels_out or stride != 1:
        shortcut = op.conv(f"{name}/project", x, channels_in, channels_out, kernel=1, stride=stride)
        shortcut = op.norm(f"{name}/project", shortcut)
    x = op.conv(f"{name}/first", x, channels_in, channels_out, kernel=3, stride=stride)
    x = op.relu(f"{name}/first", op.norm(f"{name}/first", x))
    x = op.norm(f"{name}/second", op.conv(f"{name}/second", x, channels_out, channels_out, kernel=3))
    return op.relu(name, op.add(name, x, shortcut))


class Initialize:
    """Walks the network for the shapes of its parameters and draws them (He's normal distribution)."""

    def __init__(self, seed):
        self.random, self.parameters = np.random.default_rng(seed), {}

    def draw(self, name, shape, fan_in):
        self.parameters[name] = jnp.asarray(self.random.normal(0, (2 / fan_in) ** 0.5, shape), jnp.float32)

    def conv(self, name, x, channels_in, channels_out, kernel, stride=1):
        self.draw(f"{name}.weight", (channels_out, channels_in, kernel, kernel), channels_in * kernel**2)
        self.channels = channels_out

    def norm(self, name, x):
        self.parameters[f"{name}.scale"] = jnp.ones(self.channels)
        self.parameters[f"{name}.shift"] = jnp.zeros(self.channels)

    def dense(self, name, x, features_in, features_out):
        self.draw(f"{name}.weight", (features_out, features_in), features_in)
        self.parameters[f"{name}.bias"] = jnp.zeros(features_out)

    def relu(self, name, x):
        return x

    def add(self, name, x, y):
        return x

    max_pool = global_average = relu


class Evaluate:
    """Walks the network with values; normalizes by the statistics of the batch and keeps them."""

    def __init__(self, parameters):
        self.parameters, self.statistics = parameters, {}

    def conv(self, name, x, channels_in, channels_out, kernel, stride=1):
        padding = [(kernel // 2, kernel // 2)] * 2
        return jax.lax.conv_general_dilated(x, self.parameters[f"{name}.weight"], (stride, stride), padding)

    def norm(self, name, x):
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
        self.statistics[f"{name}.mean"], self.statistics[f"{name}.variance"] = mean, variance
        factor = self.parameters[f"{name}.scale"] / jnp.sqrt(variance + EPSILON)
        return (x - mean[:, None, None]) * factor[:, None, None] + self.parameters[f"{name}.shift"][
            :, None, None
        ]

    def relu(self, name, x):
        return jnp.maximum(x, 0)

    def add(self, name, x, y):
        return x + y

    def max_pool(self, name, x):
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

    def global_average(self, name, x):
        return x.mean((2, 3))

    def dense(self, name, x, features_in, features_out):
        return x @ self.parameters[f"{name}.weight"].T + self.parameters[f"{name}.bias"]


class Export:
    """Walks the network and records ONNX nodes; values are their names."""

    def __init__(self, parameters, statistics):
        self.values, self.nodes, self.initializers = {**parameters, **statistics}, [], []

    def node(self, operator, name, inputs, **attributes):
        name = f"{name}/{operator}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def parameter(self, name):
        self.initializers.append(numpy_helper.from_array(np.asarray(self.values[name], np.float32), name))
        return name

    def conv(self, name, x, channels_in, channels_out, kernel, stride=1):
        return self.node(
            "Conv",
            name,
            [x, self.parameter(f"{name}.weight")],
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[kernel // 2] * 4,
        )

    def norm(self, name, x):
        parts = [self.parameter(f"{name}.{part}") for part in ("scale", "shift", "mean", "variance")]
        return self.node("BatchNormalization", name, [x, *parts], epsilon=EPSILON)

    def relu(self, name, x):
        return self.node("Relu", name, [x])

    def add(self, name, x, y):
        return self.node("Add", name, [x, y])

    def max_pool(self, name, x):
        return self.node("MaxPool", name, [x], kernel_shape=[2, 2], strides=[2, 2])

    def global_average(self, name, x):
        return self.node("Flatten", name, [self.node("GlobalAveragePool", name, [x])])

    def dense(self, name, x, features_in, features_out):
        parts = [self.parameter(f"{name}.weight"), self.parameter(f"{name}.bias")]
        return self.node("Gemm", name, [x, *parts], transB=1)


def export(parameters, statistics):
    """The ONNX model: BatchNormalization stays a node of its own, the batch dimension is symbolic."""
    walk = Export(parameters, statistics)
    logits = network(walk, "image")
    walk.nodes.append(helper.make_node("Softmax", [logits], ["probabilities"], name="softmax", axis=1))
    graph = helper.make_graph(
        walk.nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10])],
        walk.initializers,
    )
    model = helper.make_model(
        graph, producer_name="train.py", opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def shifted(images, random):
    """Each image moved by -1, 0 or 1 pixel in both directions."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    offsets = random.integers(0, 3, (len(images), 2))
    return np.stack([image[:, y : y + 8, x : x + 8] for image, (y, x) in zip(padded, offsets, strict=True)])


def train(images, labels):
    """Adam, decoupled weight decay, cosine schedule. Returns parameters, and statistics of all images."""
    initial = Initialize(SEED)
    network(initial, None)
    parameters = initial.parameters
    steps = EPOCHS * (len(images) // BATCH)

    def loss(parameters, x, y):
        scores = jax.nn.log_softmax(network(Evaluate(parameters), x))
        return -jnp.take_along_axis(scores, y[:, None], 1).mean()

    @jax.jit
    def update(parameters, first, second, step, x, y):
        gradients = jax.grad(loss)(parameters, x, y)
        rate = LEARNING_RATE * 0.5 * (1 + jnp.cos(jnp.pi * step / steps))
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
        second = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * g * g, second, gradients)
        corrections = 1 - 0.9 ** (step + 1), 1 - 0.99 ** (step + 1)

        def move(p, m, v):
            decay = WEIGHT_DECAY * p if p.ndim > 1 else 0
            return p - rate * (m / corrections[0] / (jnp.sqrt(v / corrections[1]) + 1e-8) + decay)

        return jax.tree.map(move, parameters, first, second), first, second

    random = np.random.default_rng(SEED)
    first = second = jax.tree.map(jnp.zeros_like, parameters)
    step = 0
    for _ in range(EPOCHS):
        order = random.permutation(len(images))
        for batch in np.split(order[: len(order) // BATCH * BATCH], len(order) // BATCH):
            x = shifted(images[batch], random)
            parameters, first, second = update(parameters, first, second, step, x, labels[batch])
            step += 1
    final = Evaluate(parameters)
    network(final, images)
    return parameters, final.statistics


def split(count):
    """Index lists. Calibration images are part of the training images; held-out ones are in neither."""
    order = np.random.default_rng(SEED).permutation(count)
    held_out, rest = np.sort(order[:HELD_OUT]), order[HELD_OUT:]
    return {
        "seed": SEED,
        "training": np.sort(rest).tolist(),
        "calibration": np.sort(rest[:CALIBRATION]).tolist(),
        "heldout": held_out.tolist(),
    }


def write_pictures(images, labels, indices):
    """One 8 x 8 grayscale PNG for the first held-out image of each digit, named after label and index."""
    (FOLDER / "images").mkdir(exist_ok=True)
    for digit in range(PICTURES):
        index = next(index for index in indices if labels[index] == digit)
        pixels = np.rint(images[index, 0] * 255).astype(np.uint8)
        Image.fromarray(pixels).save(FOLDER / "images" / f"{digit}-index{index:04}.png")


def main():
    data = load_digits()
    images = (data.images / 16).astype(np.float32)[:, None]
    labels = data.target.astype(np.int64)
    indices = split(len(images))
    training, held_out = indices["training"], indices["heldout"]

    model = export(*train(images[training], labels[training]))
    onnx.save(model, FOLDER / "digits.onnx")
    np.savez(FOLDER / "calibration.npz", image=images[indices["calibration"]])
    np.savez_compressed(
        FOLDER / "heldout.npz", image=images[held_out], label=labels[held_out], index=np.array(held_out)
    )
    write_pictures(images, labels, held_out)
    (FOLDER / "splits.json").write_text(json.dumps(indices) + "\n")
    (FOLDER / "labels.txt").write_text("".join(f"{digit}\n" for digit in range(10)))

    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    answers = session.run(None, {"image": images[held_out]})[0].argmax(1)
    right = int((answers == labels[held_out]).sum())
    print(f"digits.onnx: {right} of {len(held_out)} held-out images right ({right / len(held_out):.2%})")


if __name__ == "__main__":
    main()
