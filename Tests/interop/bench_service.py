"""`make bench-service`: what a daemon adds to a request, in turns with a bare C++ gRPC echo and with tritonclient.

The overhead of a request is its round trip less what the daemon says that it waited for the device and ran; the echo and
tritonclient have round trips alone. Medians of the rounds' medians, in microseconds; the ratio is to the echo of as many bytes.
"""

import argparse
import contextlib
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
import tritonclient.grpc as triton

import resnet18
from programs import compile_digits, running, succeed

ECHO = pathlib.Path(__file__).parent / "echo"
DIGITS_BYTES, PICTURE_BYTES = 256, 602_112
DIGITS_REQUESTS, PICTURE_REQUESTS = 3000, 150


def build_echo(folder):
    """The program, compiled with Debian's gRPC."""
    plugin = subprocess.run(["which", "grpc_cpp_plugin"], check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run(
        ["protoc", f"-I{ECHO}", f"--cpp_out={folder}", f"--grpc_out={folder}", f"--plugin=protoc-gen-grpc={plugin}",
         ECHO / "echo.proto"], check=True)
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "grpc++", "protobuf"], check=True, capture_output=True, text=True)
    subprocess.run(
        ["g++", "-O2", "-std=c++17", f"-I{folder}", "-o", folder / "echo", ECHO / "echo.cc", folder / "echo.pb.cc",
         folder / "echo.grpc.pb.cc", *flags.stdout.split()], check=True)
    return folder / "echo"


@contextlib.contextmanager
def serving(program, socket):
    process = subprocess.Popen([program, "serve", socket])
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def echoed(program, socket, size, count):
    """The median round trip."""
    finished = subprocess.run(
        [program, "call", socket, str(size), str(count)], check=True, capture_output=True, text=True)
    return statistics.median(map(float, finished.stdout.split()))


def ours(module, daemon, count, *options):
    """For each number of clients its figures."""
    finished = succeed(
        "vtactl", "bench", "service", module, "--socket", daemon.socket, "--requests", count, "--json", *options)
    return json.loads(finished.stdout)


def tritonclients(daemon, count):
    """The median round trip of the digits model."""
    with triton.InferenceServerClient(daemon.url) as client:
        tensor = triton.InferInput("image", [1, 1, 8, 8], "FP32")
        tensor.set_data_from_numpy(np.zeros((1, 1, 8, 8), np.float32))
        times = []
        for _ in range(count):
            start = time.perf_counter()
            client.infer("digits", [tensor])
            times.append(time.perf_counter() - start)
    return 1e6 * statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        echo, socket = build_echo(folder), folder / "echo.sock"
        (folder / "models").mkdir()
        digits, picture = folder / "models" / "digits.vtab", folder / "picture.vtab"
        compile_digits(digits)
        network, calibration = resnet18.save(folder)
        succeed("vtactl", "compile", network, "--calibration", calibration, "-o", picture)
        figures = {}

        def add(name, value, base=None):
            figures.setdefault(name, ([], []))[0].append(value)
            if base is not None:
                figures[name][1].append(value / base)

        with serving(echo, socket), running(models=folder / "models") as daemon:
            for _ in range(rounds):
                base = echoed(echo, socket, DIGITS_BYTES, DIGITS_REQUESTS)
                add(f"C++ echo of {DIGITS_BYTES} bytes, round trip", base)
                for figure in ours(digits, daemon, DIGITS_REQUESTS, "--clients", "1,4,8"):
                    clients = figure["clients"]
                    add(f"digits, {clients} clients, overhead", figure["overhead_us"]["p50"], base if clients == 1 else None)
                    add(f"digits, {clients} clients, requests a second", figure["requests_per_second"])
                add("digits, tritonclient, round trip", tritonclients(daemon, DIGITS_REQUESTS), base)
                base = echoed(echo, socket, PICTURE_BYTES, PICTURE_REQUESTS)
                add(f"C++ echo of {PICTURE_BYTES} bytes, round trip", base)
                for name, options in (("inline", []), ("in shared memory", ["--shared-memory"])):
                    figure = ours(picture, daemon, PICTURE_REQUESTS, *options)[0]
                    add(f"picture {name}, overhead", figure["overhead_us"]["p50"], base)
        for name, (values, ratios) in figures.items():
            ratio = f"   {statistics.median(ratios):.2f} times the echo" if ratios else ""
            print(f"{name:48} {statistics.median(values):8.0f}   ({min(values):.0f} to {max(values):.0f}){ratio}")


if __name__ == "__main__":
    main()
