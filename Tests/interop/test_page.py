"""The status page in a headless Chromium: what it shows is live, and nothing from the daemon becomes markup."""

import re
import shutil
import subprocess

import numpy as np
import pytest
import tritonclient.grpc as triton

from programs import DIGITS
from test_http import serving
from test_triton_client import image_input

pytestmark = pytest.mark.skipif(not shutil.which("chromium"), reason="Chromium is not installed")


def shown(port, tmp_path):
    """The document after two looks at the daemon."""
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/browser"]
    finished = subprocess.run(
        [*command, "--dump-dom", "--virtual-time-budget=2500", f"http://127.0.0.1:{port}/"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def answered(document):
    return int(re.search(r"<b>(\d+)</b>answered", document).group(1))


def test_values_change(digits_module, tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(digits_module, models / "digits.vtab")
    shutil.copy(digits_module, models / "digits<script>alert(1)<script>.vtab")
    images = np.load(DIGITS / "heldout.npz")["image"]
    with serving(tmp_path, models, loopback_readonly=True) as (daemon, port):
        with triton.InferenceServerClient(daemon.url) as client:
            for count in (3, 4):
                before = answered(shown(port, tmp_path))
                for _ in range(count):
                    client.infer("digits", [image_input(images[:1])])
                document = shown(port, tmp_path)
                assert answered(document) == before + count
    assert "ready, version" in document and "<td>digits</td>" in document
    assert "digits&lt;script&gt;" in document and "<script>alert" not in document
    assert not re.search(r"<(button|input|form|a) ", document)
