"""`make bench`: what the digits network costs, from file to answer.

Medians; one sample at a time unless a row says otherwise.
"""

import argparse
import json
import pathlib
import statistics
import tempfile
import time

import numpy as np
import tritonclient.grpc as triton

import resnet18
from programs import DIGITS, compile_digits, running, succeed


def measured(repetitions, action):
    """Seconds of each repetition, after one that does not count."""
    action()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return times


def runs(module, image, repetitions, folder, *where):
    """Seconds of each run, as `vtactl run` measures them."""
    finished = succeed(
        "vtactl",
        "run",
        module,
        "--input",
        image,
        "--output-dir",
        folder / "outputs",
        "--repeat",
        repetitions,
        "--json",
        *where,
    )
    return json.loads(finished.stdout)["seconds"]


def load(client, module):
    client.load_model("bench", files={"file:1/model.vtab": module})


def loads(client, module, repetitions):
    """Seconds of each upload with its checks and allocations; unloading does not count."""
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        load(client, module)
        times.append(time.perf_counter() - start)
        client.unload_model("bench")
    return times


def infer(client, images):
    tensor = triton.InferInput("image", list(images.shape), "FP32")
    tensor.set_data_from_numpy(images)
    return lambda: client.infer("bench", [tensor])


def verifier_rates(folder):
    """Instructions per second that the verifier reads: digits, and the largest program at hand."""
    network, calibration = resnet18.save(folder)
    module = folder / "resnet18.vtab"
    succeed("vtactl", "compile", network, "-o", module, "--target", "sim", "--calibration", calibration)
    finished = succeed("vtactl", "bench", "verifier", "--json", folder / "digits.vtab", module)
    return {pathlib.Path(run["file"]).stem: run for run in json.loads(finished.stdout)["runs"]}


def benchmark(folder):
    """Rows of the table: name and seconds of each repetition."""
    module, image = folder / "digits.vtab", folder / "image.npy"
    images = np.load(DIGITS / "heldout.npz")["image"]
    np.save(image, images[:1])
    yield "compile (whole command)", measured(5, lambda: compile_digits(module))
    yield "inference, in-process", runs(module, image, 100, folder, "--in-process", "--device", "sim")
    with running() as daemon, triton.InferenceServerClient(daemon.url) as client:
        content = module.read_bytes()
        yield "load into the daemon", loads(client, content, 20)
        yield "daemon round trip, vtactl", runs(module, image, 100, folder, "--socket", daemon.socket)
        load(client, content)
        yield "daemon round trip, tritonclient", measured(100, infer(client, images[:1]))
        yield "daemon round trip, tritonclient, 16 samples", measured(20, infer(client, images[:16]))
        yield "daemon, empty call (ServerLive), tritonclient", measured(100, client.is_server_live)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print seconds instead of a table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = dict(benchmark(pathlib.Path(folder)))
        rates = verifier_rates(pathlib.Path(folder))
    if arguments.json:
        print(
            json.dumps(
                {name: {"median": statistics.median(times), "seconds": times} for name, times in rows.items()}
                | {f"verifier, {name}": run for name, run in rates.items()}
            )
        )
        return
    print(f"{'digits, on the simulator':46} {'median':>10} {'fastest':>10}  repetitions")
    for name, times in rows.items():
        print(f"{name:46} {statistics.median(times) * 1e3:7.2f} ms {min(times) * 1e3:7.2f} ms  {len(times)}")
    for name, run in rates.items():
        print(
            f"verifier, {name}: {run['instructions']} instructions in {run['seconds'] * 1e3:.2f} ms (median),"
            f" {run['instructions_per_second']:.0f} per second"
        )


if __name__ == "__main__":
    main()
