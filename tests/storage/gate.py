"""A gate before a store: what was asked for can be seen, held up and refused."""

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Gate:
    """An HTTP proxy in front of a store: it notes every request; `check` may delay one or refuse it."""

    def __init__(self, url: str) -> None:
        self.requests: list[tuple[str, str]] = []
        self.check: Callable[[str, str], bool] = lambda method, path: True
        self.refusal = 403
        self.slow: Callable[[int], None] = lambda size: None
        self._upstream = urlsplit(url).netloc
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def answer(self) -> None:
                gate.answer(self)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, asked: BaseHTTPRequestHandler) -> None:
        body = b"".join(self.read(asked))
        path = urlsplit(asked.path).path
        self.requests.append((asked.command, path))
        if not self.check(asked.command, path):
            asked.send_response(self.refusal)
            asked.send_header("Content-Length", "0")
            asked.end_headers()
            return
        with contextlib.closing(http.client.HTTPConnection(self._upstream)) as upstream:
            headers = {name: value for name, value in asked.headers.items() if name != "Expect"}
            upstream.request(asked.command, asked.path, body, headers)
            response = upstream.getresponse()
            data = response.read()
        asked.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in {"transfer-encoding", "content-length"}:
                asked.send_header(name, value)
        asked.send_header("Content-Length", response.getheader("Content-Length") or str(len(data)))
        asked.end_headers()
        with contextlib.suppress(OSError):  # who asked has ended
            asked.wfile.write(data)

    def read(self, asked: BaseHTTPRequestHandler) -> Iterator[bytes]:
        left = int(asked.headers.get("Content-Length") or 0)
        while left and (block := asked.rfile.read(min(left, 2**16))):
            left -= len(block)
            yield block
            self.slow(len(block))

    def sent(self, *methods: str) -> list[str]:
        """The last two parts of the paths that were asked for by `methods`, in order."""
        return ["/".join(path.split("/")[-2:]) for method, path in self.requests if method in methods]


@contextlib.contextmanager
def gate_before(url: str) -> Iterator[Gate]:
    gate = Gate(url)
    yield gate
    gate.server.shutdown()
    gate.server.server_close()
