"""vtactl as an operator uses it: from another machine over TLS, with signed modules, and `top` in a terminal."""

import json
import os
import pty
import re
import select
import shutil
import signal
import time

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from certificates import Authority
from programs import BINARIES, TIME_LIMIT, compile_digits, environment, run, running, succeed
from test_http import free_port


@pytest.fixture(scope="module")
def remote(digits_module, tmp_path_factory):
    """A daemon for other machines: its port, and a maker of folders of certificates for its clients."""
    folder = tmp_path_factory.mktemp("remote")
    ours, other = Authority(folder), Authority(folder, "other")
    certificate, key = ours.sign("board")
    models = folder / "models"
    models.mkdir()
    shutil.copy(digits_module, models / "digits.vtab")
    port = free_port()
    tcp = {
        "address": "127.0.0.1", "grpc_port": port, "certificate": str(certificate), "key": str(key),
        "client_ca": str(ours.certificate), "infer": "alice", "administer": "root",
    }  # fmt: skip
    config = folder / "vtad.json"
    config.write_text(json.dumps({"tcp": tcp}))

    def certificates(name, signer=ours, authority=ours):
        client = folder / f"{name}-{signer.certificate.stem}-{authority.certificate.stem}"
        if not client.exists():
            client.mkdir()
            certificate, key = signer.sign(name)
            shutil.copy(certificate, client / "client.pem")
            shutil.copy(key, client / "client.key")
            shutil.copy(authority.certificate, client / "ca.pem")
        return client

    certificates.ours, certificates.other = ours, other
    with running("--config", config, models=models) as daemon:
        yield port, certificates
        assert daemon.is_running()


def at(remote, name="alice", host="localhost", **authorities):
    port, certificates = remote
    return ("--host", f"{host}:{port}", "--certificates", certificates(name, **authorities))


def test_everything_from_another_machine(remote, images, probabilities, tmp_path):
    """Compile here, upload, run and profile there."""
    compile_digits(tmp_path / "mine.vtab")
    np.save(tmp_path / "x.npy", images[:3])
    command = ("run", tmp_path / "mine.vtab", "--input", tmp_path / "x.npy", "--output-dir", tmp_path / "out")
    answer = json.loads(succeed("vtactl", *command, "--profile", "--json", *at(remote)).stdout)
    assert "localhost" in answer["where"] and answer["device"] == "sim"
    assert any(step["layers"] for step in answer["profile"]["steps"])
    np.testing.assert_array_equal(np.load(tmp_path / "out/probabilities.npy"), probabilities[:3])
    for command in ("status", "devices", "models", "top"):
        assert succeed("vtactl", command, *at(remote)).stdout
    root = at(remote, "root")
    for command in (("load", tmp_path / "mine.vtab"), ("unload", "mine"), ("load", "mine"), ("drain",), ("undrain",)):
        succeed("vtactl", *command, *root)
    assert "mine" in succeed("vtactl", "models", *root).stdout


def refused(*command):
    finished = run("vtactl", *command)
    assert finished.returncode == 1 and len(finished.stderr.splitlines()) == 1, finished
    return finished.stderr


def test_what_is_wrong_with_the_way(remote, tmp_path):
    port, certificates = remote
    assert "tcp.administer" in refused("drain", *at(remote))
    assert "tcp.infer" in refused("devices", *at(remote, "stranger"))
    ours, other = certificates.ours, certificates.other
    assert "client.pem" in refused("status", *at(remote, signer=other))
    assert "tcp.client_ca" in refused("status", *at(remote, signer=other))
    assert "is not signed by" in refused("status", *at(remote, authority=other))
    unused = ("--host", f"localhost:{free_port()}", "--certificates", certificates("alice"))
    assert "can't be reached" in refused("status", *unused)
    nowhere = ("--host", "nowhere.invalid", "--certificates", certificates("alice"))
    assert "can't be reached" in refused("status", *nowhere)
    assert "client.pem can't be read" in refused("status", "--host", f"localhost:{port}", "--certificates", tmp_path)
    for name in ("client.pem", "ca.pem"):
        shutil.copy(certificates("alice") / name, tmp_path)
    shutil.copy(certificates("stranger") / "client.key", tmp_path)
    assert "can't be used together" in refused("status", "--host", f"localhost:{port}", "--certificates", tmp_path)


def test_place_of_certificates(remote, monkeypatch):
    port, certificates = remote
    monkeypatch.setenv("VTAD_HOST", f"localhost:{port}")
    monkeypatch.setenv("VTAD_CERTIFICATES", str(certificates("alice")))
    assert "vtad" in succeed("vtactl", "status").stdout


def test_files_of_certificates(remote, tmp_path):
    """Each by itself, with the folder for the others."""
    port, certificates = remote
    alice = certificates("alice")
    files = ("--ca", alice / "ca.pem", "--cert", alice / "client.pem", "--key", alice / "client.key")
    host = ("--host", f"localhost:{port}", "--certificates", tmp_path)
    assert "vtad" in succeed("vtactl", "status", *host, *files).stdout
    assert "client.key can't be read" in refused("status", *host, *files[:4])


def test_signers_are_shown(digits_module, tmp_path):
    ask = lambda *command: json.loads(succeed("vtactl", *command, "--json").stdout)  # noqa: E731
    assert ask("inspect", digits_module)["signers"] == ask("verify", digits_module)["signers"] == []
    signed = tmp_path / "signed.vtab"
    shutil.copy(digits_module, signed)
    keys = []
    for name in ("first", "second"):
        keys.append(succeed("vtactl", "sign", "--generate", "--key", tmp_path / name).stdout.strip())
        succeed("vtactl", "sign", signed, "--key", tmp_path / name)
    assert sorted(ask("inspect", signed)["signers"]) == sorted(ask("verify", signed)["signers"]) == sorted(keys)
    assert all(f"signed by {key}" in succeed("vtactl", "verify", signed).stdout for key in keys)
    assert all(key in succeed("vtactl", "inspect", signed).stdout for key in keys)


def test_signed_modules(digits_module, tmp_path):
    key = lambda name: succeed("vtactl", "sign", "--generate", "--key", tmp_path / name).stdout.strip()  # noqa: E731
    public, _ = key("own.key"), key("foreign.key")
    assert (tmp_path / "own.key").stat().st_mode & 0o777 == 0o600
    assert "choose a new file" in refused("sign", "--generate", "--key", tmp_path / "own.key")

    def signed(name, by):
        succeed("vtactl", "sign", digits_module, "--key", tmp_path / by, "-o", tmp_path / name)
        return (tmp_path / name).read_bytes()

    good, foreign = signed("good.vtab", "own.key"), signed("foreign.vtab", "foreign.key")
    models = tmp_path / "models"
    models.mkdir()
    (models / "unsigned.vtab").write_bytes(digits_module.read_bytes())
    (models / "good.vtab").write_bytes(good)
    config = tmp_path / "vtad.json"
    config.write_text(json.dumps({"modules": {"require_signature": True, "keys": public}}))
    with running("--config", config, models=models) as daemon, triton.InferenceServerClient(daemon.url) as client:
        states = {model.name: model.state for model in client.get_model_repository_index().models}
        assert states == {"good": "READY", "unsigned": "UNAVAILABLE"}

        def load(module):
            client.load_model("mine", config="{}", files={"file:1/model.vtab": module})

        load(good)
        tampered = bytearray(good)
        tampered[len(good) // 3] ^= 1
        for module, why in ((digits_module.read_bytes(), "signature"), (foreign, "not known"), (bytes(tampered), "")):
            with pytest.raises(InferenceServerException) as raised:
                load(module)
            assert why in raised.value.message()
        assert "signature" in refused("load", digits_module, "--socket", daemon.socket)
        # A key that is taken away counts no more, for what is loaded from then on.
        succeed("vtactl", "sign", "--generate", "--key", tmp_path / "new.key")
        new = signed("new.vtab", "new.key")
        with pytest.raises(InferenceServerException):
            load(new)


def test_top_in_a_terminal(digits_module, images, tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(digits_module, models / "digits.vtab")
    with running(models=models) as daemon, triton.InferenceServerClient(daemon.url) as client:
        process, terminal = pty.fork()
        if process == 0:
            # Shells have background jobs ignore it, and their children inherit that.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            command = [str(BINARIES / "vtactl"), "top", "--interval", "0.1", "--socket", daemon.socket]
            os.execve(command[0], command, environment())
        shown, end = "", time.monotonic() + TIME_LIMIT
        tensor = triton.InferInput("image", [1, 1, 8, 8], "FP32")
        tensor.set_data_from_numpy(images[:1])
        # Until a screen shows requests that came after the first one.
        while not re.search(r"digits 1 +[1-9]\d*\.\d", shown):
            assert time.monotonic() < end, shown[-500:]
            client.infer("digits", [tensor])
            while select.select([terminal], [], [], 0)[0]:
                shown += os.read(terminal, 65536).decode()
        assert shown.count("\x1b[H") >= 1 and "device sim (simulator): ready" in shown
        os.kill(process, signal.SIGINT)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGINT
        os.close(terminal)
