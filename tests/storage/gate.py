"""A proxy in front of a store that records, delays, refuses or damages requests and responses.

The client signs for the address of the proxy, which forwards that header, so that signatures stay valid.
"""

import contextlib
import http.client
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from tests.storage.faults import Fault

_BLOCK = 2**16
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER of 0 seconds: closing sends RST instead of FIN."""


@dataclass(frozen=True)
class Answer:
    """The response of the store."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


class Exchange:
    """One request to the store, and the response to it."""

    def __init__(self, asked: BaseHTTPRequestHandler, store: str, slow: Callable[[int], None]) -> None:
        url = urlsplit(asked.path)
        self.method, self.path = asked.command, url.path
        self.key = unquote(url.path)
        self.query = parse_qs(url.query, keep_blank_values=True)
        self.size = int(asked.headers.get("Content-Length") or 0)
        self._asked, self._store, self._slow, self._left = asked, store, slow, self.size

    def receive(self, limit: int | None = None) -> bytes:
        """The rest of the body, or `limit` bytes of it."""
        wanted, blocks = self._left if limit is None else min(limit, self._left), list[bytes]()
        while wanted and (block := self._asked.rfile.read(min(wanted, _BLOCK))):
            wanted, self._left = wanted - len(block), self._left - len(block)
            blocks.append(block)
            self._slow(len(block))
        return b"".join(blocks)

    @contextlib.contextmanager
    def to_store(self, body: bytes) -> Iterator[http.client.HTTPConnection]:
        """A connection on which the request was sent with `body`, which may be shorter than its Content-Length."""
        with contextlib.closing(http.client.HTTPConnection(self._store)) as connection:
            headers = {name: value for name, value in self._asked.headers.items() if name != "Expect"}
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the store responded early
                connection.request(self.method, self._asked.path, body, headers)
            yield connection

    def forward(self, body: bytes) -> Answer:
        """The response of the store to the request with this body."""
        with self.to_store(body) as connection:
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())

    def give(self, answer: Answer, limit: int | None = None) -> None:
        """Respond; with `limit` only with that many bytes of the body."""
        self._asked.send_response(answer.status)
        stated = {name.lower(): value for name, value in answer.headers}
        for name, value in answer.headers:
            if name.lower() not in {"transfer-encoding", "content-length"}:
                self._asked.send_header(name, value)
        self._asked.send_header("Content-Length", stated.get("content-length", str(len(answer.body))))
        self._asked.end_headers()
        with contextlib.suppress(OSError):  # the client has ended
            self._asked.wfile.write(b"" if self.method == "HEAD" else answer.body[:limit])

    def hang_up(self) -> None:
        """Close the connection to the client."""
        self._asked.close_connection = True

    def reset(self) -> None:
        """Reset the connection to the client."""
        self.hang_up()
        connection = self._asked.connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        os.close(connection.detach())  # at once: the server would send FIN before


def pass_on(exchange: Exchange) -> None:
    exchange.give(exchange.forward(exchange.receive()))


class Gate:
    """An HTTP proxy in front of a store, which records every request.

    `check` may delay or refuse a request; the first of `faults` that matches handles it; any other is forwarded.
    """

    def __init__(self, url: str) -> None:
        self.requests: list[tuple[str, str]] = []
        self.check: Callable[[str, str], bool] = lambda method, path: True
        self.refusal = 403
        self.slow: Callable[[int], None] = lambda size: None
        self.faults: list[Fault] = []
        self._store = urlsplit(url).netloc
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_: object) -> None:
                pass

            def answer(self) -> None:
                gate.answer(self)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, asked: BaseHTTPRequestHandler) -> None:
        exchange = Exchange(asked, self._store, self.slow)
        self.requests.append((exchange.method, exchange.path))
        fault = next((fault for fault in self.faults if fault.strikes(exchange)), None)
        try:
            if fault is not None:
                fault.act(exchange)
            elif self.check(exchange.method, exchange.path):
                pass_on(exchange)
            else:
                exchange.receive()
                exchange.give(Answer(self.refusal, (), b""))
        except (OSError, http.client.HTTPException):  # client or store has ended
            exchange.hang_up()

    def sent(self, *methods: str) -> list[str]:
        """The last two parts of the requested paths, in order, for requests with one of `methods`."""
        return ["/".join(path.split("/")[-2:]) for method, path in self.requests if method in methods]


@contextlib.contextmanager
def gate_before(url: str) -> Iterator[Gate]:
    gate = Gate(url)
    yield gate
    gate.server.shutdown()
    gate.server.server_close()
