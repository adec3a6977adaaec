"""Certificates for tests: an authority, and what it signs. Made by openssl."""

import subprocess


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """Signs certificates for as long as a test runs."""

    def __init__(self, folder, name="authority"):
        self.folder = folder
        self.certificate = folder / f"{name}.pem"
        self.key = folder / f"{name}.key"
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2),
            *("-subj", f"/CN={name}", "-keyout", self.key, "-out", self.certificate),
            *("-addext", "basicConstraints=critical,CA:TRUE"),
        )

    def sign(self, name):
        """Files of a certificate for `name` and localhost, and of its key."""
        key, request, certificate = (self.folder / f"{name}.{end}" for end in ("key", "csr", "pem"))
        openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", f"/CN={name}", "-keyout", key, "-out", request),
        )
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName=DNS:{name},DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        openssl(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-days", 2),
            *("-CAcreateserial", "-out", certificate, "-extfile", extensions),
        )
        return certificate, key
