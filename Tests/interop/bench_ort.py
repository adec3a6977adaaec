"""`make bench-ort`: whole networks through `vtactl run`, beside ONNX Runtime's int8 of the same networks, in alternation.

Times of `vtactl run` include quantizing, packing and unpacking on the host; those of the programs alone stand beside them.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quant_pre_process, quantize_static

import resnet18
from programs import succeed

NETWORKS = pathlib.Path(__file__).parents[2] / "Examples" / "networks" / "networks.py"
RUNS = 10


class Samples(CalibrationDataReader):
    def __init__(self, arrays):
        name = next(iter(arrays))
        self.rest = iter([{name: array[None]} for array in arrays[name]])

    def get_next(self):
        return next(self.rest, None)


def write_network(name, folder):
    """The ONNX file and its calibration samples."""
    if name == "random-resnet18":
        return resnet18.save(folder)
    subprocess.run([sys.executable, NETWORKS, "--output-dir", folder, name], check=True, stdout=subprocess.DEVNULL)
    return folder / f"{name}.onnx", folder / f"{name}-calibration.npz"


def quantized(network, calibration, folder):
    prepared, result = folder / "prepared.onnx", folder / "quantized.onnx"
    quant_pre_process(str(network), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared), str(result), Samples(np.load(calibration)), quant_format=QuantFormat.QDQ,
        per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    return result


def session(model, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def ours(module, sample, threads):
    finished = succeed(
        "vtactl", "run", module, "--in-process", "--device", "sim", "--json", "--threads", threads, "--repeat", RUNS + 1,
        "--input", sample)
    # The first run touches memory for the first time.
    return json.loads(finished.stdout)["seconds"][1:]


def theirs(network, inputs):
    times = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        network.run(None, inputs)
        times.append(time.perf_counter() - start)
    return times[1:]


def programs_alone(module, threads):
    finished = succeed("vtactl", "bench", "simulator", "--json", "--threads", threads, "--repeats", 30, module)
    report = json.loads(finished.stdout)
    return report["runs"][0], report["peak_gmacs"]


def compare(name, module, model, sample, threads, rounds):
    network = session(model, threads)
    inputs = {network.get_inputs()[0].name: np.load(sample)}
    times = {"vta": [], "ort": []}
    for _ in range(rounds):
        times["vta"] += ours(module, sample, threads)
        times["ort"] += theirs(network, inputs)
    run, peak = programs_alone(module, threads)
    median = {who: statistics.median(seconds) * 1e3 for who, seconds in times.items()}
    best = {who: min(seconds) * 1e3 for who, seconds in times.items()}
    print(
        f"{name:<16} {threads:>7} {median['vta']:>8.2f} {median['ort']:>8.2f} {median['vta'] / median['ort']:>6.2f}"
        f" {best['vta']:>9.2f} {best['ort']:>8.2f} {best['vta'] / best['ort']:>6.2f} {run['best_seconds'] * 1e3:>9.2f}"
        f" {run['translation_bytes'] / max(1, run['weight_bytes']):>8.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("names", nargs="*", default=["resnet18", "resnet34", "resnet50", "mobilenetv2", "dcgan"])
    arguments = parser.parse_args()
    names = arguments.names if NETWORKS.exists() else ["random-resnet18"]
    print(f"{arguments.rounds} rounds of {RUNS} runs in turns, ms; load before: {os.getloadavg()[0]:.1f}")
    print("network          threads   median      ORT  ratio      best      ORT  ratio  programs   memory")
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            folder = pathlib.Path(scratch) / name
            folder.mkdir()
            network, calibration = write_network(name, folder)
            module = folder / "network.vtab"
            succeed("vtactl", "compile", network, "-o", module, "--target", "sim", "--calibration", calibration)
            model = quantized(network, calibration, folder)
            sample = folder / "sample.npy"
            arrays = np.load(calibration)
            np.save(sample, arrays[next(iter(arrays))][:1])
            for threads in arguments.threads:
                compare(name, module, model, sample, threads, arguments.rounds)
    print("programs: the best time on the simulator without host steps; memory: translation over the weights as int8")


if __name__ == "__main__":
    main()
