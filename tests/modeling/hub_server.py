"""A model hub on loopback, with the endpoints of huggingface.co that loading a model uses.

`/<id>/resolve/<revision>/<file>` (HEAD and GET) and `/api/models/<id>`. Ids are folders below the root; `lab/gated` is
denied like a gated model, `lab/private` needs the token, `lab/broken` answers with 500.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

COMMIT = "c0ffee" + "0" * 34
TOKEN = "hf_the_token_of_the_test"


class Hub(BaseHTTPRequestHandler):
    """Serves the folder `root`; records each request in `requests` as (method, path, authorization)."""

    root: Path
    requests: list[tuple[str, str, str | None]]

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *args: object) -> None:
        """Log nothing."""

    def _answer(self, *, with_body: bool) -> None:
        authorization = self.headers.get("Authorization")
        self.requests.append((self.command, self.path, authorization))
        parts = self.path.partition("?")[0].strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        name, rest = "/".join((parts[2:] if api else parts)[:2]), (parts[2:] if api else parts)[2:]
        if name == "lab/gated":
            return self._refuse(403, "GatedRepo")
        if name == "lab/broken":
            return self._refuse(500, "")
        private = name == "lab/private" and authorization != f"Bearer {TOKEN}"
        if private or not (self.root / name).is_dir():
            return self._refuse(401, "RepoNotFound")
        if api:
            return self._send_api(name, rest)
        file = self.root / name / "/".join(rest[2:])
        if rest[0] != "resolve" or rest[1] not in ("main", COMMIT) or not file.is_file():
            return self._refuse(404, "EntryNotFound")
        return self._send(file.read_bytes(), with_body=with_body)

    def _send_api(self, name: str, rest: list[str]) -> None:
        if rest and rest[0] == "tree":
            return self._refuse(404, "EntryNotFound")
        return self._send(json.dumps({"id": name, "sha": COMMIT, "tags": []}).encode(), with_body=True)

    def _send(self, body: bytes, *, with_body: bool) -> None:
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        if code == "EntryNotFound":
            self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def serve_hub(root: Path) -> Iterator[tuple[str, list[tuple[str, str, str | None]]]]:
    """Serve the models below `root`; yields the endpoint and the list of requests."""
    requests: list[tuple[str, str, str | None]] = []
    handler = type("HubOfThisTest", (Hub,), {"root": root, "requests": requests})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", requests
        server.shutdown()
        thread.join()
