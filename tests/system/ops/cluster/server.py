"""A Kubernetes API server with its own etcd, on loopback, in a folder that can be deleted afterwards."""

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import urllib3

from clocksvc.dev.child_server import free_ports
from tests.process import Process
from tests.system.ops.checked_command import run_checked
from tests.waiting import eventually

_READY_S = 120.0


class Answer(NamedTuple):
    """Status, body, and the server's warnings."""

    status: int
    body: dict[str, Any]
    warnings: list[str]


class Cluster:
    """Talks to the API server as its administrator."""

    def __init__(self, folder: Path, port: int, token: str) -> None:
        self._folder, self._url, self._token = folder, f"https://127.0.0.1:{port}", token
        self._http: urllib3.PoolManager | None = None

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str) -> Answer:
        """One request, in JSON."""
        if self._http is None:
            self._http = urllib3.PoolManager(ca_certs=str(self._folder / "certificates" / "apiserver.crt"))
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        url = f"{self._url}{path}" + "".join(f"{'&' if n else '?'}{k}={v}" for n, (k, v) in enumerate(query.items()))
        sent = None if body is None else json.dumps(body)
        reply = self._http.request(method, url, body=sent, headers=headers, timeout=30, retries=False)
        return Answer(reply.status, _json(reply.data), reply.headers.getlist("Warning"))

    def ready(self) -> bool:
        """Whether it is ready."""
        return self.ask("GET", "/readyz").status == 200

    def kubeconfig(self) -> Path:
        """A kubeconfig file for helm."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "cluster",
                    "cluster": {
                        "server": self._url,
                        "certificate-authority": str(self._folder / "certificates" / "apiserver.crt"),
                    },
                }
            ],
            "users": [{"name": "admin", "user": {"token": self._token}}],
            "contexts": [{"name": "admin", "context": {"cluster": "cluster", "user": "admin"}}],
            "current-context": "admin",
        }
        file = self._folder / "kubeconfig.json"
        file.write_text(json.dumps(config), encoding="utf-8")
        return file


def _json(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


@contextmanager
def running(programs: Mapping[str, Path], folder: Path) -> Iterator[Cluster]:
    """Both run until the end of the block."""
    (client, peer, port), token = free_ports(3), secrets.token_hex(16)
    key = folder / "service-accounts.pem"
    run_checked(["openssl", "genrsa", "-out", key, "2048"], within=60)
    (folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n', encoding="utf-8")
    etcd = [programs["etcd"], f"--data-dir={folder / 'etcd'}", f"--initial-cluster=default=http://127.0.0.1:{peer}"]
    for name, number in (("client", client), ("peer", peer)):
        etcd.append(f"--listen-{name}-urls=http://127.0.0.1:{number}")
        advertised = "advertise-client-urls" if name == "client" else "initial-advertise-peer-urls"
        etcd.append(f"--{advertised}=http://127.0.0.1:{number}")
    server = [
        programs["kube-apiserver"],
        f"--etcd-servers=http://127.0.0.1:{client}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder / 'certificates'}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={key}",
        f"--service-account-key-file={key}",
        "--endpoint-reconciler-type=none",
    ]
    with ExitStack() as stack:
        for name, command in (("etcd", etcd), ("kube-apiserver", server)):
            stack.enter_context(_process(command, folder / f"{name}.log"))
        cluster = Cluster(folder, port, token)
        began = time.monotonic()
        eventually(cluster.ready, within=_READY_S, what=f"the API server to be ready; see {folder}/kube-apiserver.log")
        print(f"the API server is ready after {time.monotonic() - began:.1f} s", flush=True)
        yield cluster


@contextmanager
def _process(command: list[Any], log: Path) -> Iterator[None]:
    process = Process(command, log)
    try:
        yield
    finally:
        process.end()
