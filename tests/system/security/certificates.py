"""Certificates of a test: an authority and the certificates it signs, made with the program `openssl`."""

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

_DAYS = "2"
_EC = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
_CA_USAGE = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, PEM files; `both` contains the two."""

    certificate: Path
    key: Path
    both: Path

    def server_context(self, clients: Path | None = None) -> ssl.SSLContext:
        """For a TLS server; clients need a certificate signed by the authority in `clients`, if given."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.both)
        if clients is not None:
            context.load_verify_locations(clients)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


class Authority:
    """Signs certificates. `certificate` is what clients trust: a PEM file."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._key = folder / f"{name}.key"
        self.certificate = folder / f"{name}.pem"
        request = self._request(name, self._key)
        self._sign(request, self.certificate, _CA_USAGE, "-signkey", str(self._key))

    def sign(self, name: str, alternative: str = "IP:127.0.0.1") -> Pair:
        """A certificate for a server at `alternative` (`IP:…` or `DNS:…`), or for a client of that name."""
        key, certificate, both = (self._folder / f"{self._name}-{name}.{kind}" for kind in ("key", "pem", "both.pem"))
        extensions = f"subjectAltName={alternative}\n"
        ours = ("-CA", str(self.certificate), "-CAkey", str(self._key), "-CAcreateserial")
        self._sign(self._request(name, key), certificate, extensions, *ours)
        both.write_text(key.read_text() + certificate.read_text() + self.certificate.read_text())
        return Pair(certificate, key, both)

    def _request(self, name: str, key: Path) -> Path:
        request = key.with_suffix(".csr")
        _openssl("genpkey", *_EC, "-out", str(key))
        _openssl("req", "-new", "-key", str(key), "-subj", f"/CN={name}", "-out", str(request))
        return request

    def _sign(self, request: Path, into: Path, extensions: str, *by: str) -> None:
        wanted = into.with_suffix(".ext")
        wanted.write_text(extensions)
        files = ("-in", str(request), "-out", str(into), "-extfile", str(wanted))
        _openssl("x509", "-req", "-days", _DAYS, *files, *by)


def _openssl(*arguments: str) -> None:
    program = shutil.which("openssl")
    assert program is not None, "these tests make their certificates with the program openssl (package openssl)"
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"openssl {arguments[0]}: {done.stderr}"
