"""A small stand-in for the hub: the answers that huggingface_hub reads, over two ports (the hub and its file store).

What it answers follows huggingface_hub 2.4: ``hf_api.model_info``, ``dataset_info`` and ``list_repo_tree``,
``file_download``'s headers, ``utils/_http.hf_raise_for_status`` for the error codes.
"""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

TOKEN, POOR_TOKEN = "hf_goodgoodgood", "hf_strangerdanger"
COMMIT, CONVERTED_COMMIT = "c0ffee" + "0" * 34, "decade" + "0" * 34


@dataclass
class Repo:
    """A model or data set and how the hub behaves about it. ``converted``: the branch of its own conversion."""

    files: dict[str, bytes]
    converted: dict[str, bytes] | None = None
    gated: bool = False
    private: bool = False
    renamed_to: str | None = None
    disabled: bool = False

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """The commit that ``revision`` means, and its files."""
        if revision in {"", "main", COMMIT}:
            return COMMIT, self.files
        if revision in {"refs/convert/parquet", CONVERTED_COMMIT} and self.converted is not None:
            return CONVERTED_COMMIT, self.converted
        return None

    @property
    def card(self) -> Any:
        """What stands between the dashes at the top of the README."""
        parts = self.files.get("README.md", b"").decode().split("---\n")
        return yaml.safe_load(parts[1]) if len(parts) > 2 else None


@dataclass
class Hub:
    """The stand-in's state: what it has, how it misbehaves, what it was asked."""

    repos: dict[str, Repo] = field(default_factory=dict)
    datasets: dict[str, Repo] = field(default_factory=dict)
    # Cut the connection once, after so many bytes of a file; seconds between chunks; an error for every request.
    cut_after: dict[str, int] = field(default_factory=dict)
    delay: float = 0.0
    broken: int | None = None
    etag_prefix: str = ""
    served: dict[str, int] = field(default_factory=dict)
    resumed_at: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)
    endpoint: str = ""
    store: str = ""

    def add_folder(self, model_id: str, folder: Path, **traits: Any) -> Repo:
        """A checkpoint folder as a model."""
        self.repos[model_id] = Repo({path.name: path.read_bytes() for path in sorted(folder.iterdir())}, **traits)
        return self.repos[model_id]


def is_lfs(name: str) -> bool:
    return name.endswith((".safetensors", ".bin", ".parquet", ".arrow"))


def etag(name: str, content: bytes) -> str:
    """SHA-256 of large files, git's hash of small ones."""
    if is_lfs(name):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Silence."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        raise NotImplementedError

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", headers.pop("Content_Length", str(len(body))))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def stream(self, name: str, content: bytes, **headers: str) -> None:
        """A file, from the byte that was asked for, as slowly and as far as the hub is told."""
        begin = int(self.headers.get("Range", "bytes=0-").split("=")[1].split("-")[0])
        self.send_response(206 if begin else 200)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - begin))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if self.command == "HEAD":
            return
        self.hub.resumed_at += [begin] if begin else []
        cut = self.hub.cut_after.pop(name, None)
        end = len(content) if cut is None else min(len(content), begin + cut)
        step = 64 * 1024
        for at in range(begin, end, step):
            self.wfile.write(content[at : min(at + step, end)])
            self.hub.served[name] = self.hub.served.get(name, 0) + min(at + step, end) - at
            time.sleep(self.hub.delay)
        if cut is not None:
            self.close_connection = True


class _Store(_Quiet):
    """Where large files really lie; a token has no business here."""

    def do_GET(self) -> None:
        if "Authorization" in self.headers:
            self.hub.leaked.append(self.path)
        digest = self.path.split("/")[1].split("?")[0]
        for repo in (*self.hub.repos.values(), *self.hub.datasets.values()):
            for name, content in (repo.files | (repo.converted or {})).items():
                if etag(name, content) == digest:
                    self.stream(name, content, ETag=f'"{digest}"')
                    return
        self.answer(404)


class _Front(_Quiet):
    def do_GET(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        if self.hub.broken is not None:
            self.answer(self.hub.broken)
            return
        path = unquote(urlsplit(self.path).path)
        self.repos = self.hub.datasets if path.startswith(("/api/datasets/", "/datasets/")) else self.hub.repos
        if path.startswith("/api/"):
            self.api(*path.split("/", 3)[2:])
        else:
            repo_id, _, rest = path.lstrip("/").removeprefix("datasets/").partition("/resolve/")
            self.file(repo_id, *rest.split("/", 1))

    def known(self, repo_id: str, *, open_gate: bool) -> Repo | None:
        """The repository, when whoever asks may see it; else the hub's own kind of refusal has been sent."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in {"", TOKEN, POOR_TOKEN}:
            self.answer(401, X_Error_Message="Invalid credentials in Authorization header")
            return None
        repo = self.repos.get(repo_id)
        if repo is None or (repo.private and token != TOKEN):
            self.answer(404 if token else 401, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
        elif repo.disabled:
            self.answer(403, X_Error_Message="Access to this resource is disabled.")
        elif repo.gated and not open_gate and token != TOKEN:
            self.answer(403 if token else 401, X_Error_Code="GatedRepo", X_Error_Message="Access is restricted.")
        else:
            return repo
        return None

    def api(self, kind: str, rest: str) -> None:
        repo_id, name, revision = (*rest.replace("/tree/", "/revision/").partition("/revision/"),)
        repo = self.known(repo_id, open_gate=True)
        if repo is None:
            return
        if repo.renamed_to is not None:
            self.answer(307, Location=f"/api/{kind}/{repo.renamed_to}{name}{revision}")
            return
        found = repo.at(revision)
        if found is None:
            self.answer(404, X_Error_Code="RevisionNotFound", X_Error_Message="Invalid rev id")
            return
        files = []
        for file, content in found[1].items():
            entry = {"rfilename": file, "path": file, "type": "file", "size": len(content)}
            entry |= {"blobId": self.hub.etag_prefix + etag("", content), "oid": etag("", content)}
            if is_lfs(file):
                digest = etag(file, content)
                entry["lfs"] = {"sha256": digest, "oid": digest, "size": len(content), "pointerSize": 134}
            files.append(entry)
        told = {"id": repo_id, "modelId": repo_id, "sha": found[0], "private": repo.private, "siblings": files}
        told |= {"cardData": repo.card} if found[0] == COMMIT and repo.card else {}
        body = json.dumps(files if "/tree/" in rest else told | {"gated": "auto" if repo.gated else False})
        self.answer(200, body.encode(), Content_Type="application/json")

    def file(self, repo_id: str, revision: str, name: str) -> None:
        repo = self.known(repo_id, open_gate=False)
        if repo is None:
            return
        commit, files = repo.at(revision) or ("", {})
        if name not in files:
            self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
            return
        content = files[name]
        digest = etag(name, content)
        if is_lfs(name):
            linked = {"X_Linked_Etag": f'"{digest}"', "X_Linked_Size": str(len(content)), "X_Repo_Commit": commit}
            self.answer(302, Location=f"{self.hub.store}/{digest}?signed=secret", **linked)
        else:
            self.stream(name, content, ETag=f'"{digest}"', X_Repo_Commit=commit)


@contextmanager
def running() -> Iterator[Hub]:
    """A stand-in that answers on this machine until the block is left."""
    hub = Hub()
    servers = []
    for kind in (_Front, _Store):
        server = ThreadingHTTPServer(("127.0.0.1", 0), type(kind.__name__, (kind,), {"hub": hub}))
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign] # a client that left is no news
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
    hub.endpoint, hub.store = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
