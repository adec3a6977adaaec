"""`make bench-ort`: whole networks, our int8 on the simulator beside ONNX Runtime's int8, in alternation, one thread each."""

import argparse
import json
import pathlib
import statistics
import tempfile
import time

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quant_pre_process, quantize_static

import resnet18
from programs import succeed


class Samples(CalibrationDataReader):
    def __init__(self, arrays):
        name = next(iter(arrays))
        self.rest = iter([{name: array[None]} for array in arrays[name]])

    def get_next(self):
        return next(self.rest, None)


def session(network, calibration, folder, threads):
    prepared, quantized = folder / "prepared.onnx", folder / "quantized.onnx"
    quant_pre_process(str(network), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared), str(quantized), Samples(np.load(calibration)), quant_format=QuantFormat.QDQ,
        per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(quantized), options, providers=["CPUExecutionProvider"])


def ours(module, threads):
    finished = succeed(
        "vtactl", "bench", "simulator", "--json", "--threads", threads, "--repeats", 10, module)
    return json.loads(finished.stdout)["runs"][0]["seconds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        network, calibration = resnet18.save(folder)
        module = folder / "resnet18.vtab"
        succeed("vtactl", "compile", network, "-o", module, "--target", "sim", "--calibration", calibration)
        theirs = session(network, calibration, folder, arguments.threads)
        image = {theirs.get_inputs()[0].name: np.zeros((1, 3, 224, 224), np.float32)}
        times = {"vta": [], "onnxruntime": []}
        for _ in range(arguments.rounds):
            times["vta"].append(ours(module, arguments.threads))
            rounds = []
            for _ in range(10):
                start = time.perf_counter()
                theirs.run(None, image)
                rounds.append(time.perf_counter() - start)
            times["onnxruntime"].append(statistics.median(rounds))
    medians = {who: statistics.median(seconds) for who, seconds in times.items()}
    print(f"ResNet-18's shape, {arguments.threads} thread(s), medians of {arguments.rounds} rounds of 10:")
    print(f"  vta, programs on the simulator  {medians['vta'] * 1e3:6.2f} ms")
    print(f"  ONNX Runtime, int8 (QDQ)        {medians['onnxruntime'] * 1e3:6.2f} ms")
    print(f"  ratio                           {medians['vta'] / medians['onnxruntime']:6.2f}")


if __name__ == "__main__":
    main()
