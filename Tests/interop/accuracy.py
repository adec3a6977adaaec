"""`make accuracy`: how far integers stay from the float model, beside ONNX Runtime's own static quantization.

For each network of Examples/networks: the signal-to-quantization-noise ratio of all outputs (before a final softmax) in
decibels, against the float model in ONNX Runtime, on samples that calibration did not see. All columns use the same
calibration samples. ONNX Runtime: `quantize_static`, QDQ, per channel, activations QUInt8, weights QInt8, MinMax. Then the share
of handwritten digits that each profile recognizes. `--calibration-methods` compares the ways to choose ranges instead.
"""

import argparse
import json
import pathlib
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnxruntime import quantization

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "Examples" / "networks"))

import networks
from programs import DIGITS, compile_digits, succeed
from quantized_reference import file_name
from test_bit_exact import CONFIGURATION, SHAPES, TARGETS, decibels, digits_accuracy, recognized

SAMPLES = 8
# Column, target, further options of `vtactl compile`.
COLUMNS = [
    ("multiply", "sim", []),
    ("shifts", "pynq", []),
    ("powers of 2", "pynq", ["--scales", "powers-of-two"]),
    ("int4 weights", "int4", []),
]
METHODS = ["min-max", "percentile", "entropy", "mse"]


class Samples(quantization.CalibrationDataReader):
    def __init__(self, data):
        self.rest = iter(data)

    def get_next(self):
        sample = next(self.rest, None)
        return None if sample is None else {"data": sample[None]}


def without_softmax(path):
    """A softmax hides the errors of all but the largest outputs."""
    model = onnx.load(path)
    last = model.graph.node[-1]
    if last.op_type == "Softmax":
        model.graph.output[0].name = last.input[0]
        del model.graph.node[-1]
        onnx.save(model, path)


def answers(model, data):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    results = [session.run(None, {"data": sample[None]}) for sample in data]
    names = [output.name for output in session.get_outputs()]
    return {name: np.concatenate([result[i] for result in results]) for i, name in enumerate(names)}


def runtime_answers(path, calibration, data, folder):
    quantization.quantize_static(
        path, folder / "runtime.onnx", Samples(calibration), quant_format=quantization.QuantFormat.QDQ,
        per_channel=True, activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
        calibrate_method=quantization.CalibrationMethod.MinMax,
    )  # fmt: skip
    return answers(folder / "runtime.onnx", data)


def our_answers(path, calibration, data, folder, target, options):
    if target == "int4":
        (folder / "int4.json").write_text(json.dumps(CONFIGURATION | SHAPES["int4_weights"]))
        target = folder / "int4.json"
    succeed(
        "vtactl", "compile", path, "-o", folder / "model.vtab", "--target", target, "--calibration", calibration, *options
    )
    np.save(folder / "data.npy", data)
    succeed(
        "vtactl", "run", folder / "model.vtab", f"--input=data={folder / 'data.npy'}", "--in-process",
        "--output-dir", folder / "outputs",
    )  # fmt: skip
    return lambda name: np.load(folder / "outputs" / file_name(name))


def ratio(expected, answer):
    """Over all outputs, each scaled to the same power."""
    pairs = [(expected[name] / expected[name].std(), answer(name) / expected[name].std()) for name in expected]
    return decibels(*(np.concatenate([array.ravel() for array in side]) for side in zip(*pairs)))


def table(header):
    print("| " + " | ".join(header) + " |\n|---|" + "---:|" * (len(header) - 1), flush=True)


def networks_table(names, header, columns):
    """One row per network: what `columns`, given the folder and a function of target and options, yields as cells."""
    table(["network", *header])
    for network in names:
        with tempfile.TemporaryDirectory(prefix="vta-accuracy-") as name:
            folder = pathlib.Path(name)
            model, calibration, _ = networks.write(network, folder)
            without_softmax(model)
            data = networks.inputs(network, SAMPLES, seed=3)
            expected = answers(model, data)

            def runtime():
                return ratio(expected, runtime_answers(model, np.load(calibration)["data"], data, folder).__getitem__)

            def ours(target, options):
                return ratio(expected, our_answers(model, calibration, data, folder, target, options))

            print(f"| {network} | " + " | ".join(columns(runtime, ours)) + " |", flush=True)


def compare_columns(names, further):
    def cells(runtime, ours):
        yield f"{runtime():.1f}"
        for _, target, options in COLUMNS:
            yield f"{ours(target, options + further):.1f}"

    networks_table(names, ["ONNX Runtime", *(column[0] for column in COLUMNS)], cells)


def compare_methods(names, further):
    """Of each method: multiply-and-shift and shifts."""

    def cells(_, ours):
        for method in METHODS:
            options = ["--calibration-method", method, *further]
            yield " / ".join(f"{ours(target, options):.1f}" for target in ("sim", "pynq"))

    networks_table(names, METHODS, cells)


def digits():
    """Held-out accuracy on every profile."""
    table(["digits", "right"])
    print(f"| float model | {digits_accuracy():.2%} |", flush=True)
    with tempfile.TemporaryDirectory(prefix="vta-accuracy-") as name:
        folder = pathlib.Path(name)
        np.save(folder / "image.npy", np.load(DIGITS / "heldout.npz")["image"])
        for target in ["sim", *TARGETS]:
            (folder / "target.json").write_text(json.dumps(CONFIGURATION | {"PROFILE": target}))
            is_named = target not in ("chisel-2021", "ocl")
            compile_digits(folder / "digits.vtab", target=target if is_named else folder / "target.json")
            succeed(
                "vtactl", "run", folder / "digits.vtab", f"--input=image={folder / 'image.npy'}", "--in-process",
                "--output-dir", folder / "outputs",
            )  # fmt: skip
            print(f"| {target} | {recognized(np.load(folder / 'outputs' / 'probabilities.npy')):.2%} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(networks.NETWORKS)}, digits; without any: all")
    parser.add_argument("--calibration-methods", action="store_true", help="compare the ways to choose ranges")
    parser.add_argument("--options", default="", help="further options of `vtactl compile`, for experiments")
    arguments = parser.parse_args()
    names = [name for name in arguments.names or networks.NETWORKS if name != "digits"]
    further = arguments.options.split()
    if arguments.calibration_methods:
        compare_methods(names, further)
        return
    if names:
        compare_columns(names, further)
    if not arguments.names or "digits" in arguments.names:
        digits()


if __name__ == "__main__":
    main()
