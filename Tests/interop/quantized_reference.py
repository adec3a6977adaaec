"""Computes, with numpy alone, what a network dumped by `vtactl compile --dump-quantized` must answer.

Written from the description of the format (Documentation/QuantizedGraph.md), not from the compiler or the
runtime. As a program, `quantized_reference.py DUMP NAME=FILE.npy ... --output-dir DIR` writes every device
value and output.
"""

import argparse
import json
import pathlib
import re

import numpy as np


class QuantizedNetwork:
    """A dump directory. `run` gives the device values (int8, N x C x H x W) and the outputs by name."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        graph = json.loads((self.folder / "graph.json").read_text())
        if (graph["format"], graph["version"]) != ("vta-quantized-graph", 1):
            raise ValueError(f"{folder}: not a quantized graph of version 1")
        self.inputs, self.outputs, self.steps = graph["inputs"], graph["outputs"], graph["steps"]
        self.values = {value["name"]: value for value in graph["values"]}

    def run(self, inputs):
        host, count = dict(inputs), len(next(iter(inputs.values())))
        constants = {name: self.array(value["constant"]) for name, value in self.values.items() if "constant" in value}
        device = {name: np.repeat(array[None], count, 0) for name, array in constants.items()}
        for step in self.steps:
            result = getattr(self, step["operation"])(step, host, device)
            if step["operation"] in ("quantize", "accumulate", "max_pool"):
                device[step["output"]] = self.checked(step["output"], result)
            else:
                host[step["output"]] = result
        for name in constants:
            del device[name]
        return device, {output["name"]: host[output["name"]] for output in self.outputs}

    def array(self, name):
        return np.load(self.folder / name)

    def checked(self, name, result):
        value = self.values[name]
        shape = (value["channels"], value["height"], value["width"])
        if result.shape[1:] != shape:
            raise ValueError(f"{name} is {result.shape[1:]}, the dump declares {shape}")
        limit = 1 << (value["bits"] - 1)
        if result.min() < -limit or result.max() >= limit:
            raise ValueError(f"{name} leaves {value['bits']} bits: {result.min()}...{result.max()}")
        return result.astype(np.int8)

    # One method per operation of the format.

    def quantize(self, step, host, device):
        value = self.values[step["output"]]
        x = np.asarray(host[step["input"]], np.float32)
        x = x.reshape(len(x), value["channels"], value["height"], value["width"])
        steps = np.rint(x / np.float32(value["scale"])) + value["zero_point"]
        return np.clip(steps, step["low"], step["high"]).astype(np.int64)

    def accumulate(self, step, host, device):
        bias, shift = self.array(step["bias"]), self.array(step["shift"])
        value, count = self.values[step["output"]], len(device[step["terms"][0]["input"]])
        total = np.zeros((count, value["channels"], value["height"], value["width"]), np.int64)
        total += np.int64(bias)[None, :, None, None]
        late = [term for term in step["terms"] if term.get("late")]
        for term in (term for term in step["terms"] if not term.get("late")):
            places = term.get("places", {"first": (0, 0), "stride": (1, 1)})
            rows, columns = (slice(*pair) for pair in zip(places["first"], (None, None), places["stride"]))
            total[:, :, rows, columns] += self.convolution(term, self.centred(term["input"], device))
        if total.min() < -(1 << 31) or total.max() >= 1 << 31:
            raise ValueError(f"{step['name']} leaves the 32-bit accumulator")
        shift = np.int64(shift)[None, :, None, None]
        if "factor" in step:
            limit, factor = (np.int64(self.array(step[key]))[None, :, None, None] for key in ("limit", "factor"))
            total = np.clip(total >> step["pre_shift"], -limit, limit) * factor
        if step.get("leak"):
            part = np.zeros_like(total)
            for amount in step["leak"]:
                part = (part + total) >> amount
            total = np.maximum(total, part)
        if "factor" in step or step.get("leak"):
            total += (1 << shift) >> 1
            if total.min() < -(1 << 31) or total.max() >= 1 << 31:
                raise ValueError(f"{step['name']}: a product leaves 32 bits")
        if step.get("rounds_to_even"):
            even = (total >> shift) % 2 == 0
            total += ((1 << shift) >> 1) - even
        total >>= shift
        if late:
            total += sum(self.convolution(term, self.centred(term["input"], device)) for term in late)
            total = (total + ((1 << step["late_shift"]) >> 1)) >> step["late_shift"]
        return np.clip(total + value["zero_point"], step["low"], step["high"])

    def centred(self, name, device):
        """The integers that a product sees, and padding is 0 among."""
        return device[name].astype(np.int64) - self.values[name]["zero_point"]

    def convolution(self, term, x):
        """Sums over windows. Doubles are exact here: every partial sum stays far below 2^53."""
        weights = self.array(term["weights"]).astype(np.float64)
        windows = padded_windows(x.astype(np.float64), term["kernel"], term["stride"], term["padding"], 0)
        if term["kind"] == "positional":
            result = np.einsum("nchwij,hw->nchw", windows, weights)
        elif term["kind"] == "depthwise":
            result = np.einsum("nchwij,cij->nchw", windows, weights)
        elif term["kind"] == "grouped":
            parts = zip(
                np.split(windows, term["groups"], 1), np.split(weights, term["groups"]), strict=True
            )
            result = np.concatenate([matrix_products(*part) for part in parts], 1)
        else:
            result = matrix_products(windows, weights)
        return result.astype(np.int64)

    def max_pool(self, step, host, device):
        x = device[step["input"]].astype(np.int64)
        outside = np.iinfo(np.int64).min
        windows = padded_windows(x, step["kernel"], step["stride"], step["padding"], outside)
        highest = windows.max((4, 5))
        if highest.min() == outside:
            raise ValueError(f"{step['name']}: a window lies outside the input altogether")
        return np.clip(highest, step["low"], step["high"])

    def dequantize(self, step, host, device):
        q, value = self.centred(step["input"], device), self.values[step["input"]]
        x = q.astype(np.float32) * np.float32(value["scale"])
        return x.reshape(len(q), *step["shape"][1:])

    def softmax(self, step, host, device):
        x = host[step["input"]].astype(np.float64)
        powers = np.exp(x - x.max(step["axis"], keepdims=True))
        return (powers / powers.sum(step["axis"], keepdims=True)).astype(np.float32)

    def activate(self, step, host, device):
        x, alpha, beta = host[step["input"]].astype(np.float64), step["alpha"], step["beta"]
        hard_sigmoid = np.clip(alpha * x + beta, 0, 1)
        functions = {
            "sigmoid": lambda: 1 / (1 + np.exp(-x)),
            "tanh": lambda: np.tanh(x),
            "hard_sigmoid": lambda: hard_sigmoid,
            "hard_swish": lambda: x * hard_sigmoid,
            "elu": lambda: np.where(x >= 0, x, alpha * np.expm1(x)),
            "softplus": lambda: np.logaddexp(0, x),
            "exp": lambda: np.exp(x),
        }
        return functions[step["function"]]().astype(np.float32)

    def transpose(self, step, host, device):
        return host[step["input"]].transpose(step["permutation"])

    def concatenate(self, step, host, device):
        return np.concatenate([host[name] for name in step["inputs"]], step["axis"])

    def reshape(self, step, host, device):
        x = host[step["input"]]
        return x.reshape(len(x), *step["shape"][1:])


def matrix_products(windows, weights):
    count, channels, height, width, *kernel = windows.shape
    columns = windows.transpose(0, 2, 3, 1, 4, 5).reshape(count * height * width, -1)
    result = (columns @ weights.reshape(len(weights), -1).T).reshape(count, height, width, -1)
    return result.transpose(0, 3, 1, 2)


def padded_windows(x, kernel, stride, padding, outside):
    """N x C x H x W to N x C x outputH x outputW x kernelH x kernelW. Padding: top, left, bottom, right."""
    # Negative padding: the edge is cut off.
    cut_top, cut_left, cut_bottom, cut_right = (max(0, -pad) for pad in padding)
    x = x[:, :, cut_top : x.shape[2] - cut_bottom, cut_left : x.shape[3] - cut_right]
    top, left, bottom, right = (max(0, pad) for pad in padding)
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=outside)
    windows = np.lib.stride_tricks.sliding_window_view(x, tuple(kernel), (2, 3))
    return windows[:, :, :: stride[0], :: stride[1]]


def file_name(name):
    """The rule of `vtactl run`: bytes outside [A-Za-z0-9._-] become `_`."""
    return re.sub(rb"[^A-Za-z0-9._-]", b"_", name.encode()).decode() + ".npy"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dump")
    parser.add_argument("input", nargs="+", metavar="NAME=FILE.npy")
    parser.add_argument("--output-dir", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    inputs = {name: np.load(file) for name, file in (text.split("=", 1) for text in arguments.input)}
    device, outputs = QuantizedNetwork(arguments.dump).run(inputs)
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    for name, tensor in {**device, **outputs}.items():
        np.save(arguments.output_dir / file_name(name), tensor)


if __name__ == "__main__":
    main()
