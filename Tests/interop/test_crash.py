"""kill -9 in the middle of uploads: the next start reads the folder, and nothing in it is half of a model."""

import json
import os
import random
import signal
import threading
import time

import numpy as np
import tritonclient.grpc as triton

from programs import DIGITS, Daemon, running
from test_triton_client import image_input

EVERYBODY = json.dumps({"parameters": {"visibility": {"string_value": "everybody"}}})


def upload_until_killed(daemon, module, seed):
    generator = random.Random(seed)

    def upload():
        try:
            with triton.InferenceServerClient(daemon.url) as client:
                while True:
                    name, version = generator.choice("ab"), generator.randrange(1, 4)
                    client.load_model(name, config=EVERYBODY, files={f"file:{version}/model.vtab": module})
                    if generator.random() < 0.3:
                        client.load_model(name)
        except Exception:  # noqa: BLE001 - the daemon is gone
            pass

    thread = threading.Thread(target=upload)
    thread.start()
    time.sleep(generator.uniform(0, 0.3))
    os.kill(daemon.process.pid, signal.SIGKILL)
    thread.join()
    daemon.stop()


def test_killed_while_uploading(digits_module, tmp_path):
    module = digits_module.read_bytes()
    images = np.load(DIGITS / "heldout.npz")["image"]
    for seed in range(12):
        upload_until_killed(Daemon(models=tmp_path), module, seed)
        for path in tmp_path.glob("[!.]*/*/*"):
            assert path.name == "model.vtab" and path.read_bytes() == module, path
    left = [path.name for path in tmp_path.glob(".*")]
    assert all(name.startswith(".unfinished-") for name in left)
    with running(models=tmp_path) as daemon, triton.InferenceServerClient(daemon.url) as client:
        assert not list(tmp_path.glob(".*"))
        index = client.get_model_repository_index().models
        assert index and all(entry.state == "READY" for entry in index)
        for entry in index:
            client.infer(entry.name, [image_input(images[:1])], model_version=entry.version)
