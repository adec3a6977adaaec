"""Every layer type: the simulated accelerator computes exactly what the quantized network says, and that
network says about what the float network says."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest

import onnx_models
from programs import DIGITS, compile_digits, succeed
from quantized_reference import QuantizedNetwork, file_name

SAMPLES = 3


def save(folder, arrays):
    folder.mkdir()
    for name, array in arrays.items():
        np.save(folder / file_name(name), array)


def compile_case(case, folder, target="sim"):
    onnx.save(case.model, folder / "model.onnx")
    np.savez(folder / "calibration.npz", **case.samples(case.calibration_count, seed=1))
    succeed(
        "vtactl",
        "compile",
        folder / "model.onnx",
        "-o",
        folder / "model.vtab",
        "--target",
        target,
        "--calibration",
        folder / "calibration.npz",
        "--dump-quantized",
        folder / "quantized",
    )


def run_module(module, inputs, folder, *options):
    """Outputs and device values by file name, as the simulator computed them."""
    save(folder / "inputs", inputs)
    arguments = [f"--input={name}={folder / 'inputs' / file_name(name)}" for name in inputs]
    finished = succeed(
        "vtactl",
        "run",
        module,
        *arguments,
        "--in-process",
        "--output-dir",
        folder / "outputs",
        "--dump-tensors",
        folder / "device",
        "--json",
        *options,
    )
    arrays = {
        kind: {path.name: np.load(path) for path in (folder / kind).iterdir()}
        for kind in ("outputs", "device")
    }
    return arrays["outputs"], arrays["device"], json.loads(finished.stdout)


def assert_equal_bits(network, inputs, outputs, device):
    """Every value of the dump that is stored, and no other; functions that the host computes to the last bits of a float."""
    expected_device, expected_outputs = network.run(inputs)
    for name, value in network.values.items():
        if value.get("on_chip"):
            del expected_device[name]
    assert device.keys() == {file_name(name) for name in expected_device}
    for name, expected in expected_device.items():
        actual = device[file_name(name)]
        assert (actual.dtype, actual.shape) == (np.int8, expected.shape), name
        different = np.argwhere(actual != expected)
        assert len(different) == 0, (
            f"{name}: {len(different)} of {expected.size} differ, the first at (n, c, y, x) = {different[0]}:"
            f" {actual[tuple(different[0])]} instead of {expected[tuple(different[0])]}"
        )
    assert outputs.keys() == {file_name(name) for name in expected_outputs}
    rounded = set()
    for step in network.steps:
        sources = {step.get("input"), *step.get("inputs", [])}
        if step["operation"] in ("softmax", "activate") or sources & rounded:
            rounded.add(step["output"])
    for name, expected in expected_outputs.items():
        actual = outputs[file_name(name)]
        assert (actual.dtype, actual.shape) == (np.float32, expected.shape), name
        if name in rounded:
            np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-7)
        else:
            np.testing.assert_array_equal(actual, expected)


def decibels(signal, noisy):
    """Signal-to-noise ratio; infinite if there is no noise."""
    signal, noisy = signal.astype(np.float64), noisy.astype(np.float64)
    noise = ((signal - noisy) ** 2).sum()
    return np.inf if noise == 0 else 10 * np.log10((signal**2).sum() / noise)


@pytest.mark.parametrize("name", onnx_models.CASES)
def test_layer(name, tmp_path):
    case = onnx_models.CASES[name]()
    compile_case(case, tmp_path)
    inputs = case.samples(SAMPLES, seed=2)
    outputs, device, answer = run_module(tmp_path / "model.vtab", inputs, tmp_path)

    assert answer["where"] == "in-process"
    assert {output["name"] for output in answer["outputs"]} == {
        output.name for output in case.model.graph.output
    }
    assert_equal_bits(QuantizedNetwork(tmp_path / "quantized"), inputs, outputs, device)

    session = onnxruntime.InferenceSession(case.model.SerializeToString(), providers=["CPUExecutionProvider"])
    for output, expected in zip(session.get_outputs(), session.run(None, inputs), strict=True):
        actual = outputs[file_name(output.name)]
        assert actual.shape == expected.shape
        if case.decibels is None:
            continue
        assert decibels(expected, actual) >= case.decibels, (
            f"{output.name}: {decibels(expected, actual):.1f} dB"
        )


def test_layers_share_the_accumulator(tmp_path):
    """What can follow a convolution there has no layer of its own, and joining whole blocks of channels takes nothing."""
    compile_case(onnx_models.CASES["without_dram_between"](), tmp_path)
    layers = json.loads(succeed("vtactl", "inspect", tmp_path / "model.vtab", "--json").stdout)["layers"]
    on_device = [layer for layer in layers if layer["where"] == "accelerator"]
    assert [layer["op"] for layer in on_device] == [
        "Conv+Relu+MaxPool", "Conv+Add+Relu", "Conv+Add", "Conv+Relu", "Conv+Relu", "Concat", "Conv",
    ]  # fmt: skip
    assert [layer["op"] for layer in on_device if layer["instructions"] == 0] == ["Concat"]


# Accelerators of other shapes: their tiles, lanes and buffers differ from those of `sim`.
CONFIGURATION = {
    "TARGET": "sim",
    "HW_VER": "0.0.2",
    "LOG_INP_WIDTH": 3,
    "LOG_WGT_WIDTH": 3,
    "LOG_ACC_WIDTH": 5,
    "LOG_BATCH": 0,
    "LOG_BLOCK": 4,
    "LOG_UOP_BUFF_SIZE": 15,
    "LOG_INP_BUFF_SIZE": 15,
    "LOG_WGT_BUFF_SIZE": 18,
    "LOG_ACC_BUFF_SIZE": 17,
}
SHAPES = {
    "small_buffers": {
        "LOG_UOP_BUFF_SIZE": 12,
        "LOG_INP_BUFF_SIZE": 12,
        "LOG_WGT_BUFF_SIZE": 15,
        "LOG_ACC_BUFF_SIZE": 14,
    },
    "block_8": {"LOG_BLOCK": 3, "LOG_INP_BUFF_SIZE": 14, "LOG_WGT_BUFF_SIZE": 16, "LOG_ACC_BUFF_SIZE": 16},
    "block_32": {"LOG_BLOCK": 5},
    "batch_2": {"LOG_BATCH": 1},
    "int4_weights": {"LOG_WGT_WIDTH": 2, "LOG_WGT_BUFF_SIZE": 17},
}
NETWORKS = [
    "residual_network",
    "conv_channels_17_33",
    "max_pool_3x3_stride2_padded",
    "add_conv_conv",
    "gemm_transposed",
    "average_pool_5x5_padded",
]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_other_configuration(shape, name, tmp_path):
    case = onnx_models.CASES[name]()
    (tmp_path / "target.json").write_text(json.dumps(CONFIGURATION | SHAPES[shape]))
    compile_case(case, tmp_path, target=tmp_path / "target.json")
    inputs = case.samples(SAMPLES, seed=2)
    outputs, device, _ = run_module(tmp_path / "model.vtab", inputs, tmp_path)
    assert_equal_bits(QuantizedNetwork(tmp_path / "quantized"), inputs, outputs, device)


def test_digits(tmp_path):
    """The example, bit for bit, and as accurate as promised."""
    compile_digits(tmp_path / "digits.vtab", "--dump-quantized", tmp_path / "quantized")
    heldout = np.load(DIGITS / "heldout.npz")
    inputs = {"image": heldout["image"]}
    outputs, device, answer = run_module(tmp_path / "digits.vtab", inputs, tmp_path, "--device", "sim")
    assert_equal_bits(QuantizedNetwork(tmp_path / "quantized"), inputs, outputs, device)
    assert answer["device"].startswith("sim")

    assert_accurate(outputs)


def digits_accuracy():
    """Share of the held-out pictures that the float model recognizes."""
    heldout = np.load(DIGITS / "heldout.npz")
    session = onnxruntime.InferenceSession(DIGITS / "digits.onnx", providers=["CPUExecutionProvider"])
    return recognized(session.run(None, {"image": heldout["image"]})[0])


def recognized(probabilities):
    return (probabilities.argmax(1) == np.load(DIGITS / "heldout.npz")["label"]).mean()


def assert_accurate(outputs):
    """Within half a point of the float model."""
    expected = digits_accuracy()
    assert expected >= 0.97
    assert abs(recognized(outputs["probabilities.npy"]) - expected) <= 0.005


# Named targets, and profiles that no board has.
TARGETS = ["pynq", "ultra96", "zcu102", "zcu104", "de10nano", "chisel-2021", "ocl"]


@pytest.mark.parametrize("target", TARGETS)
def test_digits_on_every_target(target, tmp_path):
    """Each accelerator's own program passes the verifier, gives the bytes of the quantized network, and is accurate."""
    file = tmp_path / "target.json"
    file.write_text(json.dumps(CONFIGURATION | {"PROFILE": target}))
    compile_digits(
        tmp_path / "digits.vtab",
        "--dump-quantized",
        tmp_path / "quantized",
        target=file if target in ("chisel-2021", "ocl") else target,
    )
    succeed("vtactl", "verify", tmp_path / "digits.vtab")
    images = np.load(DIGITS / "heldout.npz")["image"]
    outputs, device, _ = run_module(tmp_path / "digits.vtab", {"image": images}, tmp_path)
    assert_accurate(outputs)
    outputs, device = ({name: array[:20] for name, array in side.items()} for side in (outputs, device))
    assert_equal_bits(QuantizedNetwork(tmp_path / "quantized"), {"image": images[:20]}, outputs, device)


def test_splits_are_disjoint():
    splits = json.loads((DIGITS / "splits.json").read_text())
    heldout = np.load(DIGITS / "heldout.npz")
    assert heldout["index"].tolist() == splits["heldout"] and len(splits["heldout"]) >= 700
    assert not set(splits["heldout"]) & (set(splits["training"]) | set(splits["calibration"]))


def test_same_bytes(tmp_path):
    """Same model, options and version: same file."""
    compile_digits(tmp_path / "first.vtab")
    compile_digits(tmp_path / "second.vtab")
    assert (tmp_path / "first.vtab").read_bytes() == (tmp_path / "second.vtab").read_bytes()


def test_report_counts(tmp_path):
    """The report's totals are the sums of its layers, and only quantization and softmax stay on the host."""
    compile_digits(tmp_path / "digits.vtab", "--report", tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    for key in ("gemm_steps", "alu_steps", "instructions"):
        assert report["totals"][key] == sum(layer[key] for layer in report["layers"])
    for kind in ("inp", "wgt", "acc", "uop", "out"):
        assert report["totals"]["dram_bytes"][kind] == sum(
            layer["dram_bytes"][kind] for layer in report["layers"]
        )
    on_host = [layer for layer in report["layers"] if layer["where"] == "host"]
    assert all(layer["why"] for layer in on_host)
    assert not any(
        operator in layer["op"] for layer in on_host for operator in ("Conv", "Gemm", "Add", "Pool")
    )
    # Pixels x blocks of 16 output channels x blocks of 16 input channels x kernel of each convolution; 4 for
    # the dense layer. The stem's nine positions of one channel share one element.
    stem, block1 = 64, 2 * 64 * 9
    block2 = 16 * 2 * (1 + 9 + 2 * 9)
    block3 = 4 * 4 * (2 * 1 + 2 * 9 + 4 * 9)
    assert report["totals"]["gemm_steps"] >= stem + block1 + block2 + block3 + 4
