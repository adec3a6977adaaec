"""ResNet-18's convolutions one by one, beside what TVM's tuned schedules need for them (one recorded run each).

Everything is counted from the decoded programs. As a program it prints the table: `make traffic`.
"""

import json
import pathlib
import tempfile

import numpy as np
import onnx
import pytest

from onnx_network import Network
from programs import succeed

# Channels in and out, extent, kernel, stride; TVM's DRAM bytes, GEMM steps, ALU steps and instructions.
LAYERS = {
    "C2": ((64, 64, 56, 3, 1), (948_448, 451_584, 50_176, 300)),
    "C3": ((64, 128, 56, 3, 2), (820_984, 225_792, 25_088, 180)),
    "C4": ((64, 128, 56, 1, 2), (501_392, 25_088, 25_088, 180)),
    "C5": ((128, 128, 28, 3, 1), (827_184, 451_584, 25_088, 276)),
    "C6": ((128, 256, 28, 3, 2), (749_008, 225_792, 12_544, 148)),
    "C7": ((128, 256, 28, 1, 2), (297_616, 25_088, 12_544, 148)),
    "C8": ((256, 256, 14, 3, 1), (843_216, 451_584, 12_544, 244)),
    "C9": ((256, 512, 14, 3, 2), (1_309_912, 225_792, 6_272, 127)),
    "C10": ((256, 512, 14, 1, 2), (244_880, 25_088, 6_272, 127)),
    "C11": ((512, 512, 7, 3, 1), (2_439_384, 451_584, 6_272, 223)),
}
# The shift-only path: the profile of the published bitstream.
TARGET = "pynq"
BLOCK = 16


def compiled(name, folder):
    """The report's entry of a model of one convolution, bias and Relu."""
    channels_in, channels_out, extent, kernel, stride = LAYERS[name][0]
    net = Network(name)
    y = net.conv(
        net.input(channels_in, extent, extent), channels_in, channels_out, kernel,
        pads=[kernel // 2] * 4, strides=[stride] * 2,
    )  # fmt: skip
    case = net.case(net.node("Relu", y))
    onnx.save(case.model, folder / "model.onnx")
    np.savez(folder / "calibration.npz", **case.samples(1, seed=1))
    succeed(
        "vtactl", "compile", folder / "model.onnx", "-o", folder / "model.vtab", "--target", TARGET,
        "--calibration", folder / "calibration.npz", "--report", folder / "report.json",
    )  # fmt: skip
    succeed("vtactl", "verify", folder / "model.vtab")
    layers = json.loads((folder / "report.json").read_text())["layers"]
    (layer,) = [layer for layer in layers if layer["where"] == "accelerator"]
    return layer


def products(name):
    """Tile products that no schedule can avoid."""
    channels_in, channels_out, extent, kernel, stride = LAYERS[name][0]
    return (extent // stride) ** 2 * (channels_in // BLOCK) * (channels_out // BLOCK) * kernel**2


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    return {name: compiled(name, tmp_path_factory.mktemp(name)) for name in LAYERS}


def traffic(layer):
    return sum(layer["dram_bytes"].values())


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, layers):
    assert traffic(layers[name]) <= LAYERS[name][1][0]
    assert layers[name]["gemm_steps"] == products(name)
    # A bias and a shift per channel: inputs as good as symmetric need no further constants where windows reach into padding.
    assert layers[name]["dram_bytes"]["acc"] <= 2 * 4 * LAYERS[name][0][1]


def test_sum(layers):
    assert sum(map(traffic, layers.values())) <= 0.8 * sum(tvm[0] for _, tvm in LAYERS.values())


def main():
    print("        DRAM bytes      of TVM's    GEMM steps  (least)     ALU steps (TVM)   instructions (TVM)")
    sums = [0, 0]
    for name, (_, tvm) in LAYERS.items():
        with tempfile.TemporaryDirectory() as folder:
            layer = compiled(name, pathlib.Path(folder))
        bytes_ = layer["dram_bytes"]
        sums = [sums[0] + traffic(layer), sums[1] + tvm[0]]
        print(
            f"{name:<4} {traffic(layer):>12,} {traffic(layer) / tvm[0]:>10.1%} {layer['gemm_steps']:>14,} "
            f"{products(name):>10,} {layer['alu_steps']:>9,} {tvm[2]:>8,} {layer['instructions']:>8,} {tvm[3]:>8,}   "
            + " ".join(f"{kind} {count:,}" for kind, count in bytes_.items())
        )
    print(f"sum  {sums[0]:>12,} {sums[0] / sums[1]:>10.1%}")


if __name__ == "__main__":
    main()
