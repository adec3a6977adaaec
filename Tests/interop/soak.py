"""`make soak`: a daemon under everything that clients do to it, for SOAK_SECONDS (120).

Mixed models and clients; clients killed, sockets cut, slow readers, cancelled requests, models loaded and unloaded,
and a device that fails: a simulated board beneath the driver, whose runs hang, get lost or never say that they are done,
at random. Every answer is compared with the one that a run without the daemon gives. No answer may be wrong or lost,
the device must come back, and memory and descriptors must be flat.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import queue
import random
import shutil
import signal
import socket
import statistics
import struct
import tempfile
import threading
import time
import traceback

import numpy as np
import onnx
import tritonclient.grpc as triton
import tritonclient.http as http_client
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import InferenceServerException

import onnx_models
from programs import DIGITS, compile_digits, running, succeed
from refusal import compile_arguments
from test_bit_exact import run_module
from test_http import free_port

BOARD = "ultra96"
# One run in so many fails.
FAULTS = 3000
# Of the time, for figures of memory and descriptors.
PARTS = 6
# Descriptors that killed clients leave behind at most, as long as their user has other connections.
REGIONS = 256
# What a request may be told instead of an answer, when it is cancelled, too late, or one too many.
EXCUSES = {"CANCELLED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "NOT_FOUND", "FAILED_PRECONDITION", "UNAVAILABLE"}


class Models:
    """Files, inputs and expected outputs, made once before the daemon starts."""

    def __init__(self, folder):
        self.folder = folder
        self.served = folder / "models"
        self.served.mkdir()
        compile_digits(folder / "digits.vtab", target=BOARD)
        images = np.load(DIGITS / "heldout.npz")["image"][:64]
        case = onnx_models.CASES["conv_3x3"]()
        onnx.save(case.model, folder / "small.onnx")
        np.savez(folder / "calibration.npz", **case.samples(4, seed=1))
        succeed(
            "vtactl",
            *compile_arguments(
                folder / "small.onnx", folder / "small.vtab", folder / "calibration.npz", target=BOARD
            ),
        )
        self.inputs = {"digits": ("image", images), "small": ("x", case.samples(64, seed=2)["x"])}
        self.outputs = {}
        for name, (tensor, data) in self.inputs.items():
            shutil.copy(folder / f"{name}.vtab", self.served / f"{name}.vtab")
            out = folder / f"{name}-out"
            out.mkdir()
            outputs, _, _ = run_module(folder / f"{name}.vtab", {tensor: data}, out)
            (file, expected) = next(iter(outputs.items()))
            self.outputs[name] = (pathlib.Path(file).stem, expected)


def write_bitstream(path):
    """What the simulated board's FPGA is configured with to recover: the headers of a .bit file around a sentence."""

    def record(key, text):
        contents = text.encode() + b"\0"
        return key + struct.pack(">H", len(contents)) + contents

    words = [0xFFFFFFFF] * 8 + [0x000000BB, 0x11220044, 0xFFFFFFFF, 0xFFFFFFFF, 0xAA995566, 0x30018001, 0x04710093]
    data = struct.pack(f">{len(words)}I", *words)
    data = (data + b"simulated VTA: ultra96 1x16_i8w8a32_15_15_18_17 hls-001\n").ljust(4096, b"\0")
    header = bytes.fromhex("00090ff00ff00ff00ff0000001") + record(b"a", "vta_wrapper;UserID=0XFFFFFFFF;Version=2018.3")
    header += record(b"b", "zu3eg-sbva484") + record(b"c", "2026/01/01") + record(b"d", "12:00:00")
    path.write_bytes(header + b"e" + struct.pack(">I", len(data)) + data)
    return path


class Tally:
    """Counts of one client, sent to the parent when it ends."""

    def __init__(self, kind):
        self.counts = {"kind": kind, "right": 0, "wrong": 0, "lost": 0, "excused": 0, "failed": 0, "unexpected": []}
        self.seconds = []

    def right(self, seconds):
        self.counts["right"] += 1
        self.seconds.append(seconds)

    def refused(self, error):
        status = (error.status() or "").split(".")[-1]
        # In a stream there is no status.
        if not status and "it was unloaded" in error.message():
            self.counts["excused"] += 1
        elif status in ("", "INTERNAL", "500") and "the accelerator" in error.message():
            # The device failed it twice.
            self.counts["failed"] += 1
        elif status in EXCUSES or status in ("429", "504", "503", "404", "400"):
            self.counts["excused"] += 1
        else:
            self.counts["unexpected"].append(str(error)[:200])


def pick(models, generator):
    name = generator.choice(list(models.inputs))
    tensor, data = models.inputs[name]
    count = generator.choice([1, 1, 1, 2, 5])
    start = generator.randrange(len(data) - count)
    return name, tensor, data[start : start + count], models.outputs[name], slice(start, start + count)


def as_input(module, tensor, data):
    value = module.InferInput(tensor, list(data.shape), "FP32")
    value.set_data_from_numpy(np.ascontiguousarray(data))
    return value


def check(tally, answer, expected, began):
    if answer is None:
        tally.counts["lost"] += 1
    elif np.array_equal(answer, expected):
        tally.right(time.monotonic() - began)
    else:
        tally.counts["wrong"] += 1


def unary(models, daemon, end, generator, tally):
    with triton.InferenceServerClient(daemon["url"]) as client:
        while time.monotonic() < end:
            name, tensor, data, (output, expected), rows = pick(models, generator)
            began = time.monotonic()
            try:
                result = client.infer(
                    name,
                    [as_input(triton, tensor, data)],
                    priority=generator.randrange(3),
                    timeout=generator.choice([None, 30_000_000]),
                )
                check(tally, result.as_numpy(output), expected[rows], began)
            except InferenceServerException as error:
                tally.refused(error)


def streaming(models, daemon, end, generator, tally):
    """Many requests on one stream; each must be answered once."""
    while time.monotonic() < end:
        answers, waiting = {}, {}
        lock = threading.Condition()

        def take(result, error):
            with lock:
                key = (result.get_response().id if result else None) or f"error {len(answers)}"
                answers[key] = result or error
                lock.notify()

        with triton.InferenceServerClient(daemon["url"]) as client:
            client.start_stream(callback=take)
            for number in range(50):
                name, tensor, data, (output, expected), rows = pick(models, generator)
                waiting[str(number)] = (output, expected[rows], time.monotonic())
                client.async_stream_infer(name, [as_input(triton, tensor, data)], request_id=str(number))
            with lock:
                lock.wait_for(lambda: len(answers) == 50, timeout=60)
            client.stop_stream()
        for key, (output, expected, began) in waiting.items():
            result = answers.get(key)
            if result is None and any(key.startswith("error") for key in answers):
                tally.counts["excused"] += 1
            else:
                check(tally, result and result.as_numpy(output), expected, began)


def over_http(models, daemon, end, generator, tally):
    with http_client.InferenceServerClient(f"127.0.0.1:{daemon['port']}") as client:
        while time.monotonic() < end:
            name, tensor, data, (output, expected), rows = pick(models, generator)
            began = time.monotonic()
            try:
                result = client.infer(name, [as_input(http_client, tensor, data)])
                check(tally, result.as_numpy(output), expected[rows], began)
            except InferenceServerException as error:
                tally.refused(error)


def slow_reading(models, daemon, end, generator, tally):
    """Asks for much at once, and takes the answers one by one."""
    while time.monotonic() < end:
        answers, problems = {}, []
        lock = threading.Condition()

        def take(result, error):
            time.sleep(0.05)
            with lock:
                if error:
                    problems.append(error)
                else:
                    answers[result.get_response().id] = result
                lock.notify()

        tensor, data = models.inputs["small"]
        output, expected = models.outputs["small"]
        began = time.monotonic()
        with triton.InferenceServerClient(daemon["url"]) as client:
            client.start_stream(callback=take)
            for number in range(12):
                client.async_stream_infer(
                    "small", [as_input(triton, tensor, data)], request_id=str(number)
                )
            with lock:
                lock.wait_for(lambda: len(answers) + len(problems) == 12, timeout=120)
            client.stop_stream()
        for problem in problems:
            tally.refused(problem)
        tally.counts["lost"] += 12 - len(answers) - len(problems)
        for result in answers.values():
            check(tally, result.as_numpy(output), expected, began)


def in_shared_memory(models, daemon, end, generator, tally):
    key = f"/vta-soak-{os.getpid()}"
    size = 1 << 20
    handle = shm.create_shared_memory_region(key, key, size)
    try:
        while time.monotonic() < end:
            with triton.InferenceServerClient(daemon["url"]) as client:
                client.register_system_shared_memory(key, key, size)
                for _ in range(20):
                    name, tensor, data, (output, expected), rows = pick(models, generator)
                    shm.set_shared_memory_region(handle, [np.ascontiguousarray(data)])
                    value = triton.InferInput(tensor, list(data.shape), "FP32")
                    value.set_shared_memory(key, data.nbytes)
                    wanted = triton.InferRequestedOutput(output)
                    wanted.set_shared_memory(key, expected[rows].nbytes, offset=size // 2)
                    began = time.monotonic()
                    try:
                        client.infer(name, [value], outputs=[wanted])
                    except InferenceServerException as error:
                        tally.refused(error)
                        continue
                    shape = list(expected[rows].shape)
                    answer = shm.get_contents_as_numpy(handle, np.float32, shape, offset=size // 2)
                    check(tally, answer, expected[rows], began)
                    del answer
                client.unregister_system_shared_memory(key)
    finally:
        shm.destroy_shared_memory_region(handle)


def uploading(models, daemon, end, generator, tally):
    """A model of one's own, used, and left behind or taken away."""
    while time.monotonic() < end:
        with triton.InferenceServerClient(daemon["url"]) as client:
            name, tensor, data, (output, expected), rows = pick(models, generator)
            module = (models.folder / f"{name}.vtab").read_bytes()
            began = time.monotonic()
            try:
                client.load_model("own", config="{}", files={"file:1/model.vtab": module})
                result = client.infer("own", [as_input(triton, tensor, data)])
                check(tally, result.as_numpy(output), expected[rows], began)
                if generator.random() < 0.5:
                    client.unload_model("own")
            except InferenceServerException as error:
                tally.refused(error)


def cancelling(models, daemon, end, generator, tally):
    """Requests that are given up, or have no time: an answer must be right all the same."""
    with triton.InferenceServerClient(daemon["url"]) as client:
        while time.monotonic() < end:
            name, tensor, data, (output, expected), rows = pick(models, generator)
            done = threading.Event()
            box = {}

            def take(result, error):
                box["result"], box["error"] = result, error
                done.set()

            began = time.monotonic()
            limit = generator.choice([None, 0.0005, 0.005])
            request = client.async_infer(
                name, [as_input(triton, tensor, data)], callback=take, client_timeout=limit
            )
            if generator.random() < 0.5:
                time.sleep(generator.random() / 500)
                request.cancel()
            if not done.wait(60):
                tally.counts["lost"] += 1
            elif box["error"] is not None:
                tally.refused(box["error"])
            else:
                check(tally, box["result"].as_numpy(output), expected[rows], began)


def administering(models, daemon, end, generator, tally):
    """Models come and go under those who use them."""
    with triton.InferenceServerClient(daemon["url"]) as client:
        while time.monotonic() < end:
            name = generator.choice(list(models.inputs))
            began = time.monotonic()
            client.unload_model(name)
            time.sleep(0.02)
            client.load_model(name)
            tally.right(time.monotonic() - began)
            time.sleep(generator.random())


def cutting(models, daemon, end, generator, tally):
    """Connections that say nothing, half of something, or rubbish, and never read."""
    open_sockets = []
    while time.monotonic() < end:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(daemon["socket"])
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
        connection.send(generator.choice([b"", preface, preface[:10], generator.randbytes(200)]))
        open_sockets.append(connection)
        if len(open_sockets) > 50:
            open_sockets.pop(generator.randrange(50)).close()
        time.sleep(0.01)
        tally.counts["excused"] += 1


KINDS = [
    unary,
    unary,
    streaming,
    over_http,
    slow_reading,
    in_shared_memory,
    uploading,
    cancelling,
    administering,
    cutting,
]


def client_process(kind, models, daemon, end, seed, results):
    tally = Tally(kind.__name__)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        kind(models, daemon, end, random.Random(seed), tally)
    except Exception:  # noqa: BLE001 - whatever it is, the parent must hear of it
        tally.counts["unexpected"].append(traceback.format_exc()[-1000:])
    tally.counts["seconds"] = tally.seconds
    results.put(tally.counts)


def victims(models, daemon, end, seed):
    """Clients that are killed in the middle of whatever they do; how many there were."""
    generator = random.Random(seed)
    killed = 0
    while time.monotonic() < end:
        kind = generator.choice([unary, streaming, uploading, in_shared_memory])
        arguments = (kind, models, daemon, end + 60, generator.randrange(1 << 30), multiprocessing.Queue())
        process = multiprocessing.Process(target=client_process, args=arguments)
        process.start()
        time.sleep(generator.uniform(0.3, 1.5))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        killed += 1
    return killed


def resources(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return resident / 1024, len(os.listdir(f"/proc/{pid}/fd"))


def soak(seconds, seed):
    for name in os.listdir("/dev/shm"):
        if name.startswith("vta-soak-"):
            os.unlink(f"/dev/shm/{name}")
    with tempfile.TemporaryDirectory() as folder:
        models = Models(pathlib.Path(folder))
        port = free_port()
        config = pathlib.Path(folder) / "vtad.json"
        settings = {
            "http": {"port": port, "loopback_infer": True},
            "log_level": "critical",
            "stall_seconds": 1,
            "bitstream": str(write_bitstream(pathlib.Path(folder) / "vta.bit")),
        }
        config.write_text(json.dumps(settings))
        board = ["--board-faults", FAULTS, "--board-fault-seed", seed]
        with running("--config", config, *board, device=f"simulated-board:{BOARD}", models=models.served) as daemon:
            where = {"url": daemon.url, "socket": daemon.socket, "port": port}
            end = time.monotonic() + seconds
            results = multiprocessing.Queue()
            processes = [
                multiprocessing.Process(
                    target=client_process, args=(kind, models, where, end, seed + i, results), name=kind.__name__
                )
                for i, kind in enumerate(KINDS)
            ]
            for process in processes:
                process.start()
            samples, killed = [], []
            killer = threading.Thread(target=lambda: killed.append(victims(models, where, end, seed)))
            killer.start()
            while time.monotonic() < end:
                samples.append(resources(daemon.process.pid))
                time.sleep(max(0.5, seconds / 200))
            tallies = collect(processes, results)
            killer.join()
            time.sleep(2)
            rest = resources(daemon.process.pid)
            device = device_after(daemon, models) if daemon.is_running() else None
            log = daemon.log_text()
    return tallies, samples, rest, killed[0], device, log


def collect(processes, results):
    """What each client counted. One that never comes back has lost an answer."""
    tallies = []
    try:
        while len(tallies) < len(processes):
            tallies.append(results.get(timeout=120))
    except queue.Empty:
        for process in (process for process in processes if process.is_alive()):
            hung = Tally(process.name).counts
            tallies.append({**hung, "lost": 1, "unexpected": [f"{process.name} never came back"], "seconds": []})
            process.kill()
    for process in processes:
        process.join()
    return tallies


def device_after(daemon, models):
    """What the daemon says of its device after one more run."""
    with triton.InferenceServerClient(daemon.url) as client:
        for name, (tensor, data) in models.inputs.items():
            client.load_model(name)
            client.infer(name, [as_input(triton, tensor, data[:1])])
    status = succeed("vtactl", "status", "--socket", daemon.socket, "--json")
    return json.loads(status.stdout)["devices"][0]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("SOAK_SECONDS", 120)))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SOAK_SEED", 1)))
    arguments = parser.parse_args()
    tallies, samples, rest, killed, device, log = soak(arguments.seconds, arguments.seed)
    print(f"{'client':18} {'right':>9} {'wrong':>6} {'lost':>5} {'excused':>8} {'failed':>7} {'p50 ms':>8} {'p99 ms':>8}")
    for tally in tallies:
        times = sorted(tally["seconds"])
        p50, p99 = (times[len(times) // 2], times[len(times) * 99 // 100]) if times else (0, 0)
        print(
            f"{tally['kind']:18} {tally['right']:9} {tally['wrong']:6} {tally['lost']:5} {tally['excused']:8} {tally['failed']:7}"
            f" {p50 * 1e3:8.2f} {p99 * 1e3:8.2f}"
        )
    # The first part fills caches and pools.
    parts = [samples[len(samples) * i // PARTS : len(samples) * (i + 1) // PARTS] for i in range(PARTS)]
    memory = [statistics.median(sample[0] for sample in part) for part in parts]
    files = [max(sample[1] for sample in part) for part in parts]
    print(f"{killed} clients killed; seed {arguments.seed}, {arguments.seconds:.0f} s")
    print("memory (MiB), medians:", *(f"{value:.0f}" for value in memory), f"after {rest[0]:.0f}")
    print("descriptors, most:", *files, f"after {rest[1]}")
    print(f"device: {device}")
    problems = [text for tally in tallies for text in tally["unexpected"]]
    for text in problems[:5]:
        print(f"unexpected: {text}")
    wrong = sum(tally["wrong"] + tally["lost"] for tally in tallies)
    grows = memory[-1] > memory[1] * 1.2 + 16 or files[-1] > files[1] + REGIONS
    is_back = device is not None and device["serving"] and device["recoveries"] > 0
    if not is_back or wrong or problems or grows:
        print(log[-2000:])
        raise SystemExit("soak: failed")


if __name__ == "__main__":
    main()
