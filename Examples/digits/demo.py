"""`make demo`: an ONNX file becomes a module, and `vtad` answers with it as well as the float network does.

Exits with 1 if the quantized network's held-out accuracy is not within half a point of the float network's,
or that is below 97 %.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime

FOLDER = pathlib.Path(__file__).resolve().parent
BINARIES = pathlib.Path(os.environ.get("VTA_BIN", FOLDER.parents[1] / ".build/release")).resolve()
FLOAT_MINIMUM, DIFFERENCE_MAXIMUM = 0.97, 0.005


def vtactl(*arguments):
    """Standard output of a command that must succeed."""
    finished = subprocess.run(
        [str(BINARIES / "vtactl"), *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )
    if finished.returncode != 0:
        sys.exit(finished.returncode)
    return finished.stdout


def start_daemon(socket):
    log = open(socket.with_name("vtad.log"), "w+")
    command = [str(BINARIES / "vtad"), "--socket", str(socket), "--device", "sim"]
    daemon = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    for line in daemon.stdout:
        if line.startswith("vtad: ready: "):
            return daemon
    log.seek(0)
    sys.exit(log.read() or "vtad ended before it was ready")


def compile_network(folder):
    """The module, and the compiler's report of what became of each layer."""
    module, report = folder / "digits.vtab", folder / "report.json"
    vtactl(
        "compile",
        FOLDER / "digits.onnx",
        "-o",
        module,
        "--target",
        "sim",
        "--calibration",
        FOLDER / "calibration.npz",
        "--preprocess",
        FOLDER / "preprocess.json",
        "--labels",
        FOLDER / "labels.txt",
        "--report",
        report,
    )
    return module, json.loads(report.read_text())


def infer(module, socket, file, folder, repeat=1):
    """Probabilities, and the run's own account of itself."""
    answer = json.loads(
        vtactl(
            "run",
            module,
            "--socket",
            socket,
            "--input",
            file,
            "--output-dir",
            folder / "outputs",
            "--repeat",
            repeat,
            "--json",
        )
    )
    return np.load(folder / "outputs/probabilities.npy"), answer


def float_probabilities(images):
    session = onnxruntime.InferenceSession(FOLDER / "digits.onnx", providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images})[0]


def accuracy(probabilities, labels):
    return (probabilities.argmax(1) == labels).mean()


def print_layers(report):
    print("\nWhat runs where:")
    for layer in report["layers"]:
        steps = (
            f"{layer['gemm_steps']:>6} GEMM steps" if layer["where"] == "accelerator" else f"({layer['why']})"
        )
        print(f"  {layer['where']:11}  {layer['op']:28}  {steps}")
    totals = report["totals"]
    traffic = sum(totals["dram_bytes"].values())
    print(
        f"  in all {totals['instructions']} instructions, {totals['gemm_steps']} GEMM steps,"
        f" {totals['alu_steps']} ALU steps, {traffic / 1024:.0f} KiB of memory traffic"
    )


def print_pictures(module, socket, folder):
    labels = (FOLDER / "labels.txt").read_text().split()
    print("\nPictures, through the daemon:")
    for picture in sorted((FOLDER / "images").glob("*.png")):
        probabilities, answer = infer(module, socket, picture, folder)
        best = probabilities[0].argmax()
        print(f"  {picture.name:18}  {labels[best]}  {probabilities[0, best]:6.1%}")
    _, answer = infer(module, socket, picture, folder, repeat=50)
    milliseconds = statistics.median(answer["seconds"]) * 1e3
    print(f"  {milliseconds:.2f} ms per inference (median of 50) on {answer['device']}, {answer['where']}")


def print_accuracy(module, socket, folder):
    """Whether the promise holds."""
    heldout = np.load(FOLDER / "heldout.npz")
    np.save(folder / "heldout.npy", heldout["image"])
    probabilities, _ = infer(module, socket, folder / "heldout.npy", folder)
    quantized = accuracy(probabilities, heldout["label"])
    original = accuracy(float_probabilities(heldout["image"]), heldout["label"])
    print(f"\nAccuracy on {len(heldout['label'])} held-out images:")
    print(f"  {quantized:.2%}  int8, on the accelerator\n  {original:.2%}  float32, in ONNX Runtime")
    return original >= FLOAT_MINIMUM and abs(quantized - original) <= DIFFERENCE_MAXIMUM


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        socket = folder / "vtad.sock"
        daemon = start_daemon(socket)
        try:
            module, report = compile_network(folder)
            print(
                f"digits.onnx ({(FOLDER / 'digits.onnx').stat().st_size // 1024} KiB) compiled to"
                f" digits.vtab ({module.stat().st_size // 1024} KiB)"
            )
            print_layers(report)
            print_pictures(module, socket, folder)
            good = print_accuracy(module, socket, folder)
        finally:
            daemon.terminate()
            code = daemon.wait()
    print("\nvtad stopped." if code == 0 else f"\nvtad ended with exit code {code}.")
    if not good:
        sys.exit(
            f"demo: the accuracy is out of bounds: float at least {FLOAT_MINIMUM:.0%}, int8 within"
            f" {DIFFERENCE_MAXIMUM:.1%} of it"
        )
    sys.exit(code)


if __name__ == "__main__":
    main()
