"""Sockets, options and clients that are wrong: `vtad` refuses or outlives them."""

import os
import pathlib
import shutil
import socket
import subprocess
import time

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from programs import BINARIES, Daemon, environment, running
from refusal import INPUTS, ODD_INPUTS, SECONDS, USAGE, damaged_modules, hostile_modules, refused, survives


def test_socket_that_nobody_listens_on(small, tmp_path):
    dead = tmp_path / "dead"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(dead))
    (tmp_path / "file").write_text("")
    for path in (dead, tmp_path / "absent", tmp_path / "file", tmp_path):
        for arguments in (
            ["status"],
            ["models"],
            ["devices"],
            ["run", small / "model.vtab", "--input", small / "x.npy", "--output-dir", tmp_path / "o"],
        ):
            refused("vtactl", *arguments, "--socket", path, words=[path])


@pytest.fixture(scope="module")
def daemon(digits_module, tmp_path_factory):
    """With one good model and several bad ones in its folder."""
    models = tmp_path_factory.mktemp("models")
    shutil.copy(digits_module, models / "good.vtab")
    content = bytearray(digits_module.read_bytes())
    content[len(content) // 2] ^= 1
    (models / "flipped.vtab").write_bytes(content)
    (models / "cut.vtab").write_bytes(content[:100])
    (models / "folder.vtab").mkdir()
    (models / "notes.txt").write_text("no model")
    (models / "versioned/3").mkdir(parents=True)
    shutil.copy(digits_module, models / "versioned/3/model.vtab")
    (models / "dangling.vtab").symlink_to("absent")
    with running(models=models) as daemon:
        yield daemon
        assert daemon.is_running()


@pytest.fixture
def client(daemon):
    with triton.InferenceServerClient(daemon.url) as client:
        yield client


def test_broken_file_among_the_models(client):
    entries = {entry.name: entry for entry in client.get_model_repository_index().models}
    assert entries["good"].state == "READY" and entries["versioned"].version == "3"
    for name in ("flipped", "cut"):
        assert entries[name].state == "UNAVAILABLE" and entries[name].reason
        assert not client.is_model_ready(name)
    assert "notes" not in entries
    assert client.is_server_ready() and client.is_model_ready("good")


def test_second_daemon_on_the_socket(daemon, client):
    refused("vtad", "--socket", daemon.socket, "--device", "sim", words=[daemon.socket])
    assert client.is_server_live()


def test_bad_modules_through_the_daemon(daemon, client, small, tmp_path):
    for _, content in list(damaged_modules((small / "model.vtab").read_bytes()))[::4]:
        (tmp_path / "model.vtab").write_bytes(content)
        refused(
            "vtactl",
            "run",
            tmp_path / "model.vtab",
            "--socket",
            daemon.socket,
            "--input",
            small / "x.npy",
            "--output-dir",
            tmp_path / "o",
        )
    assert client.is_model_ready("good")


def test_hostile_modules(daemon, client, small):
    """Modules that look whole: refused, or run within their own memory and within the deadline."""
    x = triton.InferInput("x", [2, 16, 8, 8], "FP32")
    x.set_data_from_numpy(np.load(small / "x.npy"))
    outcomes = {"refused": 0, "failed": 0, "ran": 0}
    for content in hostile_modules((small / "model.vtab").read_bytes(), 300):
        try:
            client.load_model("hostile", files={"file:1/model.vtab": content}, client_timeout=SECONDS)
        except InferenceServerException as error:
            assert error.status() == "StatusCode.INVALID_ARGUMENT", error
            outcomes["refused"] += 1
            continue
        try:
            client.infer("hostile", [x], client_timeout=SECONDS)
            outcomes["ran"] += 1
        except InferenceServerException as error:
            assert error.status() != "StatusCode.UNAVAILABLE", error
            outcomes["failed"] += 1
        client.unload_model("hostile")
        assert daemon.is_running()
    assert outcomes["refused"] > 50, outcomes
    assert client.is_model_ready("good")


@pytest.mark.parametrize("what", ["other shape", "integers", "no samples"])
def test_bad_input_through_the_daemon(what, daemon, client, small, tmp_path):
    INPUTS[what](tmp_path / "x.npy")
    refused(
        "vtactl",
        "run",
        small / "model.vtab",
        "--socket",
        daemon.socket,
        "--input",
        tmp_path / "x.npy",
        "--output-dir",
        tmp_path / "o",
    )
    assert client.is_model_ready("good")


def test_odd_input_through_the_daemon(daemon, client, small, tmp_path):
    for what in ODD_INPUTS:
        ODD_INPUTS[what](tmp_path / "x.npy")
        survives(
            "vtactl",
            "run",
            small / "model.vtab",
            "--socket",
            daemon.socket,
            "--input",
            tmp_path / "x.npy",
            "--output-dir",
            tmp_path / "o",
        )
    assert client.is_model_ready("good")


def test_bytes_that_are_no_http(daemon, client):
    for content in (
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(1000),
        os.urandom(100_000),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(1000),
    ):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(SECONDS)
            connection.connect(daemon.socket)
            try:
                connection.sendall(content)
            except (BrokenPipeError, ConnectionResetError):
                pass
    assert client.is_server_live() and client.is_model_ready("good")


def test_client_that_dies(daemon, client, small, tmp_path):
    """Its private model goes with it."""
    np.save(tmp_path / "x.npy", np.ones((64, 16, 8, 8), np.float32))
    process = subprocess.Popen(
        [
            str(BINARIES / "vtactl"),
            "run",
            small / "model.vtab",
            "--socket",
            daemon.socket,
            "--input",
            tmp_path / "x.npy",
            "--output-dir",
            tmp_path / "o",
            "--repeat",
            "100000",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    time.sleep(1)
    process.kill()
    process.wait()
    assert client.is_server_live() and client.is_model_ready("good")
    names = {entry.name for entry in client.get_model_repository_index().models}
    assert names <= {"good", "versioned", "flipped", "cut", "folder", "dangling"}


def test_bad_options_of_vtad(tmp_path):
    sockets = tmp_path / "s"
    refused("vtad", "--no-such-option", code=USAGE)
    refused("vtad", "--socket", sockets, "--device", "nowhere", code=USAGE, words=["nowhere", "sim"])
    refused("vtad", "--socket", tmp_path / "absent/s", "--device", "sim", words=["absent"])
    refused("vtad", "--socket", "/tmp/" + "s" * 200, "--device", "sim")
    refused("vtad", "--socket", sockets, "--device", "sim", "--models", tmp_path / "absent", words=["absent"])
    refused("vtad", "--config", tmp_path / "absent.json", words=["absent.json"])
    for content in ("", "rubbish", "[]", '{"no such key": 1}'):
        (tmp_path / "vtad.json").write_text(content)
        assert survives("vtad", "--config", tmp_path / "vtad.json", "--socket", sockets).returncode != 0


def test_socket_path_with_something_else(tmp_path):
    """A file is not ours to delete."""
    (tmp_path / "file").write_text("precious")
    refused("vtad", "--socket", tmp_path / "file", "--device", "sim", words=["file"])
    assert (tmp_path / "file").read_text() == "precious"


def test_socket_of_a_killed_daemon(tmp_path):
    """What it leaves behind does not keep the next one from starting."""
    first = Daemon(socket=tmp_path / "s")
    first.process.kill()
    first.process.wait()
    assert pathlib.Path(first.socket).exists()
    with running(socket=tmp_path / "s") as second:
        with triton.InferenceServerClient(second.url) as client:
            assert client.is_server_live()
    first.stop()
