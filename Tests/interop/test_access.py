"""Who may do what: other users of the machine, and other machines with certificates."""

import json
import os
import shutil
import ssl
import subprocess
import sys
import textwrap
import urllib.request

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.http as http_client
from tritonclient.utils import InferenceServerException

from certificates import Authority
from programs import Daemon, run
from test_http import free_port
from test_triton_client import image_input

NOBODY = 65534
CLIENT_GID = 54321

# Of every program of another user: it becomes that user when everything is imported, because that user may not be able
# to read where Python is installed.
PRELUDE = """
import os
import sys
from multiprocessing import resource_tracker
import numpy as np
import tritonclient.grpc as triton
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import InferenceServerException

def status(call, *arguments, **named):
    try:
        call(*arguments, **named)
        return "OK"
    except InferenceServerException as error:
        return error.status().split(".")[-1] + " " + error.message()

resource_tracker.ensure_running()
user, groups = int(sys.argv.pop(1)), sys.argv.pop(1)
os.setgroups([int(group) for group in groups.split(",") if group])
os.setgid(user)
os.setuid(user)
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be several users")


@pytest.fixture(scope="module")
def daemon(digits_module, tmp_path_factory):
    """A daemon that anybody may connect to; members of a group administer."""
    folder = tmp_path_factory.mktemp("access")
    folder.chmod(0o755)
    models = folder / "models"
    models.mkdir()
    shutil.copy(digits_module, models / "digits.vtab")
    config = folder / "vtad.json"
    config.write_text(
        json.dumps({"socket_mode": "0666", "admin_group": str(CLIENT_GID), "quota": {"models": 2}})
    )
    daemon = Daemon("--config", config, models=models)
    os.chmod(daemon.folder.name, 0o755)
    yield daemon
    assert daemon.is_running()
    daemon.stop()


def start_as_user(uid, groups, code, *arguments):
    """A Python program of another user; its own group is the user's number."""
    program = PRELUDE + textwrap.dedent(code)
    command = [sys.executable, "-u", "-c", program, uid, ",".join(map(str, groups)), *arguments]
    return subprocess.Popen(
        list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/"
    )


def as_user(uid, groups, code, *arguments):
    """The lines that it prints."""
    with start_as_user(uid, groups, code, *arguments) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return output.splitlines()


@as_root
def test_roles_of_users(daemon, images):
    code = """
        client = triton.InferenceServerClient(sys.argv[1])
        image = triton.InferInput("image", [1, 1, 8, 8], "FP32")
        image.set_data_from_numpy(np.zeros([1, 1, 8, 8], np.float32))
        print(status(client.infer, "digits", [image]))
        print(status(client.update_log_settings, {"log_verbose_level": 0}))
        print(status(client.load_model, "digits"))
    """
    answers = as_user(NOBODY, [], code, daemon.url)
    assert answers[0] == "OK"
    assert all(a.startswith("PERMISSION_DENIED") and "admin_group" in a for a in answers[1:]), answers
    assert as_user(NOBODY, [CLIENT_GID], code, daemon.url) == ["OK", "OK", "OK"]


@as_root
def test_one_user_floods_while_another_asks(daemon, images):
    """Who asks little waits for what the device has at hand, not for all that somebody else has waiting."""
    code = """
        import threading
        batch = triton.InferInput("image", [2048, 1, 8, 8], "FP32")
        batch.set_data_from_numpy(np.zeros([2048, 1, 8, 8], np.float32))
        room, end = threading.Semaphore(100), threading.Event()
        def flood():
            client = triton.InferenceServerClient(sys.argv[1])
            while not end.is_set():
                room.acquire()
                client.async_infer("digits", [batch], callback=lambda result, error: room.release())
        threading.Thread(target=flood).start()
        while room.acquire(blocking=False):
            room.release()
        print("flooding")
        sys.stdin.read()
        end.set()
        os._exit(0)
    """
    with start_as_user(NOBODY, [], code, daemon.url) as other:
        assert other.stdout.readline() == "flooding\n"
        with triton.InferenceServerClient(daemon.url) as client:

            def answered():
                statistics = client.get_inference_statistics("digits").model_stats[0]
                return statistics.inference_stats.success.count

            client.infer("digits", [image_input(images[:1])])
            before = answered()
            for _ in range(10):
                client.infer("digits", [image_input(images[:1])])
            of_others = answered() - before - 10
        other.communicate(timeout=60)
    # A thousand in the order of arrival.
    assert of_others <= 100


@as_root
def test_quota_of_models(daemon, digits_module, tmp_path):
    """Counted over all connections of a user."""
    module = tmp_path / "digits.vtab"
    shutil.copy(digits_module, module)
    for path in (*tmp_path.parents, tmp_path):
        if path.stat().st_uid == 0 and str(path).startswith("/tmp/"):
            path.chmod(path.stat().st_mode | 0o755)
    code = """
        module = open(sys.argv[2], "rb").read()
        clients = [triton.InferenceServerClient(sys.argv[1]) for _ in range(2)]
        load = lambda client, name: status(
            client.load_model, name, config="{}", files={"file:1/model.vtab": module})
        print(load(clients[0], "a"), load(clients[1], "b"))
        print(load(clients[0], "c"))
        clients[1].unload_model("b")
        print(load(clients[0], "c"))
    """
    first, second, third = as_user(NOBODY, [], code, daemon.url, module)
    assert first == "OK OK" and second.startswith("RESOURCE_EXHAUSTED") and third == "OK"


@as_root
def test_shared_memory_of_other_users(digits_module, tmp_path_factory):
    """The daemon is neither root nor the client: the object's permissions must let it in, and only its owner's."""
    folder = tmp_path_factory.mktemp("daemon")
    for path in (folder, folder.parent, folder.parent.parent):
        path.chmod(0o755)
    models = folder / "models"
    models.mkdir()
    shutil.copy(digits_module, models / "digits.vtab")
    runtime = folder / "run"
    runtime.mkdir()
    os.chown(runtime, 4242, 4242)
    config = folder / "vtad.json"
    config.write_text(json.dumps({"socket_mode": "0666"}))
    # Not the binary's folder: it may be in a home that others can't enter.
    program = folder / "vtad"
    shutil.copy(Daemon.binary(), program)
    daemon = Daemon(
        "--config", config, models=models, socket=runtime / "s", program=program, user=4242, group=4242, extra_groups=[]
    )
    try:
        code = """
            client = triton.InferenceServerClient(sys.argv[1])
            handle = shm.create_shared_memory_region("own", sys.argv[2], 256)
            shm.set_shared_memory_region(handle, [np.zeros([1, 1, 8, 8], np.float32)])
            refused = status(client.register_system_shared_memory, "own", sys.argv[2], 256)
            print(refused)
            print(status(client.register_system_shared_memory, "other", sys.argv[3], 64))
            sys.stdin.readline()
            print(status(client.register_system_shared_memory, "own", sys.argv[2], 256))
            image = triton.InferInput("image", [1, 1, 8, 8], "FP32")
            image.set_shared_memory("own", 256)
            print(status(client.infer, "digits", [image]))
            client.unregister_system_shared_memory()
            shm.destroy_shared_memory_region(handle)
        """
        mine, others = f"/vta-own-{os.getpid()}", f"/vta-other-{os.getpid()}"
        with open(f"/dev/shm{others}", "wb") as other:
            other.write(bytes(64))
        os.chmod(f"/dev/shm{others}", 0o666)
        with start_as_user(NOBODY, [], code, daemon.url, mine, others) as process:
            refused = process.stdout.readline()
            assert refused.startswith("PERMISSION_DENIED"), refused
            command = refused.split("allow it: ")[1]
            assert "chgrp 4242 " in command and "chmod 0660 " in command, command
            assert process.stdout.readline().startswith("PERMISSION_DENIED")
            # What the sentence says is what helps.
            subprocess.run(command, shell=True, check=True)
            output, _ = process.communicate("\n", timeout=60)
            assert output.splitlines() == ["OK", "OK"]
    finally:
        os.unlink(f"/dev/shm{others}")
        daemon.stop()


@pytest.fixture(scope="module")
def remote(digits_module, tmp_path_factory):
    """A daemon for other machines: its folder of certificates, and its ports for gRPC and HTTP."""
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    certificate, key = authority.sign("board")
    for name in ("alice", "root", "stranger"):
        authority.sign(name)
    models = folder / "models"
    models.mkdir()
    shutil.copy(digits_module, models / "digits.vtab")
    ports = free_port(), free_port()
    config = folder / "vtad.json"
    config.write_text(
        json.dumps(
            {
                "tcp": {
                    "address": "127.0.0.1",
                    "grpc_port": ports[0],
                    "http_port": ports[1],
                    "certificate": str(certificate),
                    "key": str(key),
                    "client_ca": str(authority.certificate),
                    "infer": "alice",
                    "administer": "root",
                }
            }
        )
    )
    daemon = Daemon("--config", config, models=models)
    yield folder, *ports
    assert daemon.is_running()
    daemon.stop()


def grpc_remote(folder, port, name):
    return triton.InferenceServerClient(
        f"localhost:{port}",
        ssl=True,
        root_certificates=str(folder / "authority.pem"),
        private_key=str(folder / f"{name}.key"),
        certificate_chain=str(folder / f"{name}.pem"),
    )


def http_remote(folder, port, name):
    def context():
        context = ssl.create_default_context(cafile=folder / "authority.pem")
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
        return context

    return http_client.InferenceServerClient(f"localhost:{port}", ssl=True, ssl_context_factory=context)


def denied(call, *arguments, **named):
    with pytest.raises(InferenceServerException) as raised:
        call(*arguments, **named)
    return raised.value.status() in ("StatusCode.PERMISSION_DENIED", "403")


@pytest.mark.parametrize("way", ["gRPC", "HTTP"])
def test_roles_of_certificates(remote, images, digits_module, way):
    folder, grpc_port, http_port = remote
    connect = grpc_remote if way == "gRPC" else http_remote
    port = grpc_port if way == "gRPC" else http_port
    tensor = (triton if way == "gRPC" else http_client).InferInput("image", [1, 1, 8, 8], "FP32")
    tensor.set_data_from_numpy(images[:1])
    module = digits_module.read_bytes()
    with connect(folder, port, "alice") as client:
        assert client.infer("digits", [tensor]).as_numpy("probabilities").shape == (1, 10)
        client.load_model("mine", config="{}", files={"file:1/model.vtab": module})
        assert client.infer("mine", [tensor]).as_numpy("probabilities").shape == (1, 10)
        assert denied(client.load_model, "digits") and denied(client.unload_model, "digits")
        assert denied(client.register_system_shared_memory, "a", "/a", 64)
    with connect(folder, port, "root") as client:
        client.load_model("digits")
        client.update_log_settings({"log_verbose_level": 0})
    with connect(folder, port, "stranger") as client:
        assert client.is_server_live()
        assert denied(client.infer, "digits", [tensor])
        assert denied(client.load_model, "mine", config="{}", files={"file:1/model.vtab": module})


def test_without_a_certificate(remote):
    folder, grpc_port, http_port = remote
    roots = (folder / "authority.pem").read_bytes()
    with grpc.secure_channel(f"localhost:{grpc_port}", grpc.ssl_channel_credentials(roots)) as channel:
        with pytest.raises(grpc.FutureTimeoutError):
            grpc.channel_ready_future(channel).result(timeout=3)
    context = ssl.create_default_context(cafile=folder / "authority.pem")
    with pytest.raises((ssl.SSLError, OSError)):
        urllib.request.urlopen(f"https://localhost:{http_port}/v2/health/live", context=context, timeout=10)


def test_certificate_of_somebody_else(remote, tmp_path):
    folder, grpc_port, _ = remote
    other = Authority(tmp_path, "other")
    certificate, key = other.sign("root")
    credentials = grpc.ssl_channel_credentials(
        (folder / "authority.pem").read_bytes(), key.read_bytes(), certificate.read_bytes()
    )
    with grpc.secure_channel(f"localhost:{grpc_port}", credentials) as channel:
        with pytest.raises(grpc.FutureTimeoutError):
            grpc.channel_ready_future(channel).result(timeout=3)


@pytest.mark.parametrize("what", ["missing", "rubbish", "another key"])
def test_wrong_files(tmp_path, what):
    authority = Authority(tmp_path)
    certificate, key = authority.sign("board")
    if what == "missing":
        certificate = tmp_path / "nowhere.pem"
    elif what == "rubbish":
        certificate.write_text("rubbish")
    else:
        _, key = authority.sign("other")
    tcp = {"grpc_port": free_port(), "certificate": str(certificate), "key": str(key)}
    tcp["client_ca"] = str(authority.certificate)
    config = tmp_path / "vtad.json"
    config.write_text(json.dumps({"tcp": tcp}))
    finished = run("vtad", "--config", config, "--socket", tmp_path / "s", "--device", "sim")
    assert finished.returncode == 1
    assert str(certificate) in finished.stderr and len(finished.stderr.splitlines()) == 1


