"""Debian's nginx in front of three daemons, with the configuration that is shipped: balanced, and survives one's death."""

import collections
import json
import shutil
import subprocess
import threading
import time

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from certificates import Authority
from programs import DIGITS, ROOT, Daemon
from test_http import free_port
from test_triton_client import image_input

pytestmark = pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")


def daemon_on(port, folder, authority, models):
    certificate, key = authority.sign("vta-board")
    tcp = {
        "address": "127.0.0.1",
        "grpc_port": port,
        "certificate": str(certificate),
        "key": str(key),
        "client_ca": str(authority.certificate),
        "infer": "nginx",
    }
    config = folder / f"{port}.json"
    config.write_text(json.dumps({"tcp": tcp}))
    return Daemon("--config", config, models=models)


def configuration(folder, authority, listen, ports):
    """The shipped file with this test's names, in the smallest nginx.conf around it."""
    text = (ROOT / "Configs/nginx/vtad.conf").read_text()
    for number, port in enumerate(ports, 1):
        text = text.replace(f"board{number}.example:8443", f"127.0.0.1:{port}")
    text = text.replace("listen 8443 ssl", f"listen 127.0.0.1:{listen} ssl")
    server, client = authority.sign("vta.example"), authority.sign("nginx")
    for name, path in (
        ("server.pem", server[0]),
        ("server.key", server[1]),
        ("client.pem", client[0]),
        ("client.key", client[1]),
        ("ca.pem", authority.certificate),
    ):
        text = text.replace(f"/etc/nginx/vta/{name}", str(path))
    (folder / "vtad.conf").write_text(text)
    around = (
        f"pid {folder}/pid;\nerror_log {folder}/error.log;\ndaemon off;\nworker_processes 1;\n"
        f"events {{}}\nhttp {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/p;\n"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        f"include {folder}/vtad.conf; }}\n"
    )
    (folder / "nginx.conf").write_text(around)
    return folder / "nginx.conf"


def answered(daemon):
    with triton.InferenceServerClient(daemon.url) as client:
        return client.get_inference_statistics("digits").model_stats[0].inference_stats.success.count


def test_one_of_three_dies(digits_module, tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(digits_module, models / "digits.vtab")
    authority = Authority(tmp_path)
    ports = [free_port() for _ in range(3)]
    daemons = [daemon_on(port, tmp_path, authority, models) for port in ports]
    listen = free_port()
    nginx = subprocess.Popen(["nginx", "-c", configuration(tmp_path, authority, listen, ports)])
    images = np.load(DIGITS / "heldout.npz")["image"]
    certificate, key = authority.sign("user")
    counts = collections.Counter()
    stop = threading.Event()

    def ask():
        client = triton.InferenceServerClient(
            f"localhost:{listen}",
            ssl=True,
            root_certificates=str(authority.certificate),
            private_key=str(key),
            certificate_chain=str(certificate),
        )
        while not stop.is_set():
            try:
                client.infer("digits", [image_input(images[:1])], client_timeout=30)
                counts["right"] += 1
            except InferenceServerException as error:
                counts[str(error)] += 1

    try:
        time.sleep(1)
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(2)
        shares = [answered(daemon) for daemon in daemons]
        assert all(share > 0 for share in shares), (shares, counts)
        daemons[1].process.kill()
        time.sleep(3)
        stop.set()
        for thread in threads:
            thread.join()
        # Requests that were running on the one that died may be lost with it; the others are not.
        right = counts.pop("right")
        assert right > 100 and sum(counts.values()) <= len(threads), counts
        assert answered(daemons[0]) > shares[0] and answered(daemons[2]) > shares[2]
    finally:
        stop.set()
        nginx.terminate()
        nginx.wait()
        for daemon in daemons:
            daemon.stop()
