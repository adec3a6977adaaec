"""What `vtactl run` and `inspect` must refuse: damaged modules, other targets, inputs that do not fit."""

import json

import numpy as np
import onnx
import pytest

import onnx_network
from programs import DIGITS, succeed
from refusal import INPUTS, ODD_INPUTS, USAGE, compile_arguments, damaged_modules, refused, survives
from test_bit_exact import CONFIGURATION


def test_damaged_modules(small, tmp_path):
    for what, content in damaged_modules((small / "model.vtab").read_bytes()):
        path = tmp_path / "model.vtab"
        path.write_bytes(content)
        try:
            refused(
                "vtactl",
                "run",
                path,
                "--in-process",
                "--input",
                small / "x.npy",
                "--output-dir",
                tmp_path / "o",
            )
        except AssertionError as error:
            raise AssertionError(f"{what}: {error}") from error
    for command in ("inspect", "disassemble"):
        refused("vtactl", command, path)
        refused("vtactl", command, tmp_path / "absent.vtab", words=["absent.vtab"])


@pytest.mark.parametrize("device", ["sim:pynq", "sim:ultra96", "sim:FILE"])
def test_wrong_target(device, small, tmp_path):
    (tmp_path / "target.json").write_text(json.dumps(CONFIGURATION | {"LOG_INP_BUFF_SIZE": 14}))
    device = device.replace("FILE", str(tmp_path / "target.json"))
    refused(
        "vtactl",
        "run",
        small / "model.vtab",
        "--in-process",
        "--device",
        device,
        "--input",
        small / "x.npy",
        "--output-dir",
        tmp_path / "o",
    )


def input_arguments(small, path, output):
    return ["run", small / "model.vtab", "--in-process", "--input", path, "--output-dir", output]


@pytest.mark.parametrize("what", INPUTS)
def test_bad_input(what, small, tmp_path):
    INPUTS[what](tmp_path / "x.npy")
    refused("vtactl", *input_arguments(small, tmp_path / "x.npy", tmp_path / "o"))


@pytest.mark.parametrize("what", ODD_INPUTS)
def test_odd_input(what, small, tmp_path):
    ODD_INPUTS[what](tmp_path / "x.npy")
    survives("vtactl", *input_arguments(small, tmp_path / "x.npy", tmp_path / "o"))


def test_bad_options_of_run(small, tmp_path):
    good = input_arguments(small, small / "x.npy", tmp_path / "o")
    refused(
        "vtactl",
        "run",
        small / "model.vtab",
        "--in-process",
        "--output-dir",
        tmp_path / "o",
        words=["x"],
        code=missing_input_code(small, tmp_path),
    )
    refused("vtactl", *good, "--device", "nowhere", code=USAGE, words=["nowhere", "sim"])
    refused("vtactl", *good, "--device", "sim:nowhere", code=USAGE, words=["nowhere"])
    refused("vtactl", *good, "--repeat", "0", code=USAGE)
    refused("vtactl", *good, "--repeat", "many", code=USAGE)
    for extra in (f"y={small / 'x.npy'}", f"x={small / 'x.npy'}"):
        assert survives("vtactl", *good, "--input", extra).returncode != 0
    (tmp_path / "file").write_text("")
    refused("vtactl", *input_arguments(small, small / "x.npy", tmp_path / "file"))
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    refused("vtactl", *input_arguments(small, tmp_path / "picture.png", tmp_path / "o"))
    refused("vtactl", *input_arguments(small, DIGITS / "images/0-index0000.png", tmp_path / "o"))


def missing_input_code(small, tmp_path):
    """A forgotten `--input` may count as wrong usage or as an error of the model's input."""
    return survives(
        "vtactl", "run", small / "model.vtab", "--in-process", "--output-dir", tmp_path / "o"
    ).returncode


def test_damaged_pictures(digits_module, tmp_path):
    content = (DIGITS / "images/0-index0000.png").read_bytes()
    for length in range(0, len(content), 9):
        (tmp_path / "picture.png").write_bytes(content[:length])
        survives(
            "vtactl",
            "run",
            digits_module,
            "--in-process",
            "--input",
            tmp_path / "picture.png",
            "--output-dir",
            tmp_path / "o",
        )
    # A header that promises 2^31 - 1 pixels in both directions.
    (tmp_path / "picture.png").write_bytes(content[:16] + (0x7FFF_FFFF).to_bytes(4, "big") * 2 + content[24:])
    refused(
        "vtactl",
        "run",
        digits_module,
        "--in-process",
        "--input",
        tmp_path / "picture.png",
        "--output-dir",
        tmp_path / "o",
    )


def test_outputs_with_the_same_file_name(tmp_path):
    net = onnx_network.Network("clash")
    y = net.node("Relu", net.input(16, 4, 4), name="out put")
    case = net.case(y, net.node("Relu", net.conv(y, 16, 16, 1), name="out:put"))
    onnx.save(case.model, tmp_path / "model.onnx")
    np.savez(tmp_path / "calibration.npz", **case.samples(4, seed=1))
    np.save(tmp_path / "x.npy", case.samples(1, seed=2)["x"])
    succeed(
        "vtactl",
        *compile_arguments(tmp_path / "model.onnx", tmp_path / "model.vtab", tmp_path / "calibration.npz"),
    )
    refused(
        "vtactl",
        "run",
        tmp_path / "model.vtab",
        "--in-process",
        "--input",
        tmp_path / "x.npy",
        "--output-dir",
        tmp_path / "o",
        words=["out_put.npy"],
    )
