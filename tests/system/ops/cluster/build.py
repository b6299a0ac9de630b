"""kube-apiserver and etcd, built by Go from their modules, once, into the download folder."""

import re
import time
from pathlib import Path

from tests.system.ops.checked_command import run_checked
from tests.system.ops.golang import go_command
from tests.system.ops.programs import download_folder

KUBERNETES, ETCD = "1.37.2", "3.7.0"
_BUILD_SECONDS, _DOWNLOAD_SECONDS = 3600, 900
_NAMED = "k8s.io/component-base/version"
_PROGRAMS = {
    "etcd": ("go.etcd.io/etcd/server/v3", ""),
    "kube-apiserver": (
        "k8s.io/kubernetes/cmd/kube-apiserver",
        f"-X {_NAMED}.gitVersion=v{KUBERNETES} -X {_NAMED}.gitMajor=1 -X {_NAMED}.gitMinor={KUBERNETES.split('.')[1]}",
    ),
}


def built() -> dict[str, Path]:
    """The path of `etcd` and of `kube-apiserver`. Raises FetchFailed."""
    folder = download_folder() / f"kubernetes-{KUBERNETES}-etcd-{ETCD}"
    paths = {name: folder / name for name in _PROGRAMS}
    if not all(path.is_file() for path in paths.values()):
        folder.mkdir(parents=True, exist_ok=True)
        _build(folder)
    return paths


def _build(folder: Path) -> None:
    go = go_command(download_folder())
    _write_module(go, folder)
    for name, (package, flags) in _PROGRAMS.items():
        began = time.monotonic()
        print(f"building {name}, once …", flush=True)
        target = folder / f"{name}.new"
        options = ["-mod=mod", "-trimpath", "-ldflags", f"-s -w {flags}", "-o", str(target)]
        run_checked(
            [go, "build", *options, package],
            within=_BUILD_SECONDS,
            cwd=folder,
            CGO_ENABLED="0",
            GOFLAGS="",
            GOWORK="off",
        )
        target.replace(folder / name)
        print(f"built {name} in {time.monotonic() - began:.0f} s", flush=True)


def _write_module(go: Path, folder: Path) -> None:
    """Kubernetes' own modules refer to each other by folder: replaced by the published ones of the same version."""
    got = run_checked(
        [go, "mod", "download", "-json", f"k8s.io/kubernetes@v{KUBERNETES}"], within=_DOWNLOAD_SECONDS, cwd=folder
    )
    own = re.search(r'"GoMod": "([^"]+)"', got)
    names = re.findall(r"^\t(k8s\.io/\S+) => \./staging", Path(own[1] if own else "").read_text(encoding="utf-8"), re.M)
    published = f"v0.{KUBERNETES.partition('.')[2]}"
    lines = [
        "module cluster",
        "go 1.26.0",
        f"require k8s.io/kubernetes v{KUBERNETES}",
        f"require go.etcd.io/etcd/server/v3 v{ETCD}",
        *(f"replace {name} => {name} {published}" for name in names),
    ]
    (folder / "go.mod").write_text("\n".join(lines) + "\n", encoding="utf-8")
