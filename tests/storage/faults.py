"""Faults between a client and a store, for a Gate."""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.storage.gate import Answer, Exchange, pass_on

ALWAYS = 10**9


@dataclass
class Fault:
    """Handles the first `times` requests by `method` for a key that ends with `key` by `act`; `hits` counts them.

    `query` is a parameter that the request must have, such as partNumber, or must not have, such as -partNumber.
    """

    act: Callable[[Exchange], None]
    method: str
    key: str
    query: str | None = None
    times: int = 1
    hits: int = field(init=False, default=0)
    _lock: threading.Lock = field(init=False, repr=False, default_factory=threading.Lock)

    def strikes(self, exchange: Exchange) -> bool:
        if exchange.method != self.method or not exchange.key.endswith(self.key):
            return False
        if self.query is not None and (self.query.removeprefix("-") in exchange.query) == self.query.startswith("-"):
            return False
        with self._lock:
            if self.hits >= self.times:
                return False
            self.hits += 1
            return True

    def lasting(self) -> "Fault":
        """The same fault at every request."""
        return dataclasses.replace(self, times=ALWAYS)


def refused(status: int, code: str) -> Callable[[Exchange], None]:
    """The store refuses the request."""

    def act(exchange: Exchange) -> None:
        exchange.receive()
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>refused by a test</Message></Error>".encode()
        exchange.give(Answer(status, (("Content-Type", "application/xml"),), body))

    return act


def delayed(seconds: float) -> Callable[[Exchange], None]:
    def act(exchange: Exchange) -> None:
        time.sleep(seconds)
        pass_on(exchange)

    return act


def answer_lost(exchange: Exchange) -> None:
    """The store handles the request, but its response is lost."""
    exchange.forward(exchange.receive())
    exchange.hang_up()


def answer_replaced(exchange: Exchange) -> None:
    """The store handles the request, but a proxy reports an error."""
    exchange.forward(exchange.receive())
    refused(500, "InternalError")(exchange)


def sent_flipped(exchange: Exchange) -> None:
    exchange.give(exchange.forward(flipped(exchange.receive())))


def sent_cut(exchange: Exchange) -> None:
    """Half of the body reaches the store, then both connections end."""
    with exchange.to_store(exchange.receive(exchange.size // 2)):
        exchange.hang_up()


def sent_reset(exchange: Exchange) -> None:
    """The connection is reset while the body is sent; the store sees nothing of it."""
    exchange.receive(exchange.size // 2)
    exchange.reset()


def got_flipped(exchange: Exchange) -> None:
    answer = exchange.forward(exchange.receive())
    exchange.give(dataclasses.replace(answer, body=flipped(answer.body)))


def got_cut(exchange: Exchange) -> None:
    answer = exchange.forward(exchange.receive())
    exchange.give(answer, limit=len(answer.body) // 2)
    exchange.hang_up()


def got_reset(exchange: Exchange) -> None:
    answer = exchange.forward(exchange.receive())
    exchange.give(answer, limit=len(answer.body) // 2)
    exchange.reset()


def flipped(data: bytes) -> bytes:
    """Flip one bit in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :] if data else data


class Held:
    """Holds a request before, halfway or after it reaches the store, and closes the connection when released."""

    def __init__(self, moment: str) -> None:
        self.came, self.go, self._moment = threading.Event(), threading.Event(), moment

    def __call__(self, exchange: Exchange) -> None:
        body = exchange.receive()
        with contextlib.ExitStack() as sent:
            if self._moment == "after":
                exchange.forward(body)
            elif self._moment == "halfway":
                sent.enter_context(exchange.to_store(body[: len(body) // 2]))
            self.came.set()
            self.go.wait(60)
        exchange.hang_up()
