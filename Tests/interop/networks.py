"""`make networks`: whole networks through compiler, verifier and simulator, compared bit for bit with the reference.

All seven of Examples/networks run on `sim`; ResNet-18 and the digits also on other shapes of the accelerator and on every
board's profile. Reports time and memory of the compiler, and ends with 1 if anything differs.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "Examples" / "networks"))

import networks
from programs import BINARIES, DIGITS, succeed
from quantized_reference import QuantizedNetwork
from test_bit_exact import CONFIGURATION, SHAPES, TARGETS, assert_equal_bits, run_module

# What the host may do; classifiers need no more than their probabilities.
HOST_OPERATORS = {"QuantizeLinear", "DequantizeLinear", "Softmax"}
OTHER_HOST_OPERATORS = {"dcgan": {"Tanh"}}


def targets(folder):
    """Names and files of every target but `sim`."""
    result = {}
    for name, change in {**SHAPES, **{name: {"PROFILE": name} for name in TARGETS}}.items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps(CONFIGURATION | change))
        # Boards have names of their own; profiles without a board come as files.
        is_board = name in TARGETS and name not in ("chisel-2021", "ocl")
        result[name] = name if is_board else path
    return result


def compile_network(model, calibration, folder, target):
    """Seconds and peak bytes of the compiler, and its report."""
    started = time.monotonic()
    process = subprocess.Popen(
        [
            BINARIES / "vtactl", "compile", model, "-o", folder / "model.vtab", "--target", str(target),
            "--calibration", calibration, "--dump-quantized", folder / "quantized", "--report", folder / "report.json",
        ],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    # Not from its resource usage, which begins with the memory of this process.
    peak = 0
    while process.poll() is None:
        for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                peak = max(peak, int(line.split()[1]) * 1024)
        time.sleep(0.005)
    if process.returncode != 0:
        raise RuntimeError(f"vtactl compile ended with {process.returncode}")
    report = json.loads((folder / "report.json").read_text())
    return time.monotonic() - started, peak, report


def check(name, model, calibration, inputs, target, target_name, folder):
    folder.mkdir()
    seconds, peak, report = compile_network(model, calibration, folder, target)
    succeed("vtactl", "verify", folder / "model.vtab")
    outputs, device, answer = run_module(folder / "model.vtab", inputs, folder)
    assert_equal_bits(QuantizedNetwork(folder / "quantized"), inputs, outputs, device)
    on_host = {layer["op"] for layer in report["layers"] if layer["where"] == "host"}
    if not on_host <= HOST_OPERATORS | OTHER_HOST_OPERATORS.get(name, set()):
        raise AssertionError(f"{name}: on the host are {sorted(on_host)}")
    totals = report["totals"]
    print(
        f"{name:<12} {target_name:<14} {seconds:>6.1f} s {peak / 1e6:>6.0f} MB  {totals['gemm_steps']:>11,} "
        f"{totals['alu_steps']:>10,} {totals['instructions']:>8,} {sum(totals['dram_bytes'].values()) / 1e6:>7.1f} MB "
        f"{min(answer['seconds']) * 1000:>7.1f} ms",
        flush=True,
    )
    shutil.rmtree(folder)
    return seconds, peak


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="networks; without any: all, and every target")
    arguments = parser.parse_args()
    failures = []
    with tempfile.TemporaryDirectory(prefix="vta-networks-") as name:
        folder = pathlib.Path(name)
        print("network      target         compiler            GEMM steps  ALU steps  instrs.     DRAM  simulated")

        def run(network, model, calibration, inputs, target, target_name):
            try:
                return check(network, model, calibration, inputs, target, target_name, folder / "work")
            except (AssertionError, RuntimeError) as error:
                print(f"{network} for {target_name}: {error}", flush=True)
                failures.append((network, target_name))
                shutil.rmtree(folder / "work", ignore_errors=True)

        for network in arguments.names or networks.NETWORKS:
            model, calibration, samples = networks.write(network, folder)
            inputs = {"data": np.load(samples)["data"][:2]}
            spent = run(network, model, calibration, inputs, "sim", "sim")
            if network == "resnet50" and spent and (spent[0] > 30 or spent[1] > 2e9):
                failures.append(("resnet50", "compile time or memory"))
            if network == "resnet18" and not arguments.names:
                for target_name, target in targets(folder).items():
                    run(network, model, calibration, inputs, target, target_name)
            model.unlink()
        if not arguments.names:
            images = {"image": np.load(DIGITS / "heldout.npz")["image"][:20]}
            for target_name, target in {"sim": "sim", **targets(folder)}.items():
                model, calibration = DIGITS / "digits.onnx", DIGITS / "calibration.npz"
                run("digits", model, calibration, images, target, target_name)
    if failures:
        sys.exit(f"failed: {', '.join(' for '.join(pair) for pair in failures)}")


if __name__ == "__main__":
    main()
