"""HTTP with one deadline for a whole request.

Python's timeout bounds each single wait, so a server that drips headers or a message of an error
could hold a call for hours. Here connecting, asking and answering share one time limit. Only the
look-up of a host's name is left to the operating system.
"""

from __future__ import annotations

import io
import socket
import time
import urllib.request
from functools import partial
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


def timely_opener(*handlers: urllib.request.BaseHandler) -> urllib.request.OpenerDirector:
    """An opener whose `timeout` bounds a request from its start to the last byte of its answer."""
    return urllib.request.build_opener(_HttpHandler, _HttpsHandler, *handlers)


class _Timely(io.RawIOBase):
    """What a socket receives, until the deadline."""

    def __init__(self, sock: socket.socket, stream: io.BufferedReader, deadline: float) -> None:
        self._sock, self._stream, self._deadline = sock, stream, deadline
        self._raw: Any = stream.raw  # unbuffered: each read is one wait

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        _set_timeout(self._sock, self._deadline)
        n_bytes: int | None = self._raw.readinto(buffer)
        return n_bytes

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, deadline: float, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp: Any = io.BufferedReader(_Timely(sock, self.fp, deadline))


class _Connection(HTTPConnection):
    """A connection for one request; the time begins when it is made."""

    def __init__(self, host: str, *, timeout: float = 60.0, **options: Any) -> None:
        super().__init__(host, timeout=timeout, **options)
        self._deadline = time.monotonic() + timeout
        self.response_class = partial(_Response, deadline=self._deadline)  # type: ignore[assignment]  # called alike

    def connect(self) -> None:
        super().connect()
        _set_timeout(self.sock, self._deadline)


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _HttpHandler(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_Connection, request)


class _HttpsHandler(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_SecureConnection, request)


def _set_timeout(sock: socket.socket, deadline: float) -> None:
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    sock.settimeout(left_s)
