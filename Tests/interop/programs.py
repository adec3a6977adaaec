"""The programs of this repository as child processes: `vtactl` commands and a `vtad` in the foreground."""

import contextlib
import os
import pathlib
import queue
import subprocess
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
DIGITS = ROOT / "Examples/digits"
BINARIES = pathlib.Path(os.environ.get("VTA_BIN", ROOT / ".build/release")).resolve()
# Far above what anything here takes, so that a hang is an error and a slow machine is not.
TIME_LIMIT = 120


def environment():
    """Without a daemon that happens to run on this machine."""
    return {key: value for key, value in os.environ.items() if key != "VTAD_SOCKET"}


def run(program, *arguments, limit=TIME_LIMIT):
    """The finished process; its output as text, even if it printed no valid UTF-8."""
    command = [str(BINARIES / program), *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=limit,
        env=environment(),
        stdin=subprocess.DEVNULL,
    )


def succeed(program, *arguments, limit=TIME_LIMIT):
    finished = run(program, *arguments, limit=limit)
    assert finished.returncode == 0, f"{finished.args}: exit {finished.returncode}\n{finished.stderr}"
    return finished


def compile_digits(output, *options, target="sim"):
    succeed(
        "vtactl",
        "compile",
        DIGITS / "digits.onnx",
        "-o",
        output,
        "--target",
        target,
        "--calibration",
        DIGITS / "calibration.npz",
        "--preprocess",
        DIGITS / "preprocess.json",
        "--labels",
        DIGITS / "labels.txt",
        *options,
    )


class Daemon:
    """A `vtad` in the foreground on a socket of its own."""

    def __init__(self, *options, device="sim", models=None, socket=None, program=None, **process):
        self.folder = tempfile.TemporaryDirectory(prefix="vtad")
        self.socket = str(socket or pathlib.Path(self.folder.name) / "s")
        command = [str(program or self.binary()), "--socket", self.socket, "--device", device, *map(str, options)]
        if models:
            command += ["--models", str(models)]
        self.log = open(pathlib.Path(self.folder.name) / "log", "w+")
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment(), **process
        )
        self.wait_until_ready()

    @staticmethod
    def binary():
        return BINARIES / "vtad"

    def wait_until_ready(self):
        lines = queue.Queue()

        def read():
            for line in self.process.stdout:
                lines.put(line.rstrip("\n"))
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        line = lines.get(timeout=TIME_LIMIT)
        while line is not None and line != f"vtad: ready: {self.socket}":
            line = lines.get(timeout=TIME_LIMIT)
        if line is None:
            raise RuntimeError(f"vtad ended with {self.process.wait()}: {self.log_text()}")

    def log_text(self):
        self.log.flush()
        return pathlib.Path(self.log.name).read_text(errors="replace")

    @property
    def url(self):
        return f"unix://{self.socket}"

    def is_running(self):
        return self.process.poll() is None

    def stop(self):
        """Exit code after SIGTERM."""
        self.process.terminate()
        try:
            return self.process.wait(timeout=TIME_LIMIT)
        finally:
            self.process.kill()
            self.process.wait()
            self.log.close()
            self.folder.cleanup()


@contextlib.contextmanager
def running(*options, **fields):
    daemon = Daemon(*options, **fields)
    try:
        yield daemon
    finally:
        daemon.stop()
