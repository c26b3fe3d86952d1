"""A way to a server on which, from a seed, so large a share of all calls is throttled, fails, or loses its answer.

It stands below boto3, and below the runners' own calls: both see what a bad network and a busy service show them.
"""

from __future__ import annotations

import http.client
import random
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

# In the signature of a call stands the service that it is for.
_SERVICE = re.compile(r"Credential=[^/]+/[^/]+/[^/]+/([^/]+)/")
_THROTTLED = {
    "s3": "<Error><Code>SlowDown</Code><Message>made up</Message></Error>",
    "ec2": "<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>made up</Message></Error></Errors>"
    "</Response>",
}
_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # With the usual five, calls that come together hang for a minute.
    request_queue_size = 128


class FaultyProxy:
    """Use it as a context manager; ``endpoint`` is where it listens, ``faults`` counts what it did.

    ``client_calls`` are those of boto3, so of the client and of none of its tasks.
    """

    def __init__(self, endpoint: str, share: float, seed: int) -> None:
        upstream = urlsplit(endpoint)
        self.faults: Counter[str] = Counter()
        self.calls = self.client_calls = 0
        chance, lock = random.Random(seed), threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:  # the client was killed
                    self.close_connection = True

            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with lock:
                    proxy.calls += 1
                    proxy.client_calls += "Boto3" in (self.headers.get("User-Agent") or "")
                    fault = chance.choice(("throttled", "failed", "lost")) if chance.random() < share else ""
                    proxy.faults[fault or "none"] += 1
                service = _SERVICE.search(self.headers.get("Authorization") or "")
                if fault in ("throttled", "failed"):
                    self._answer(fault, service[1] if service else "")
                    return
                link = http.client.HTTPConnection(upstream.hostname or "", upstream.port, timeout=60)
                try:
                    link.request(self.command, self.path, body, dict(self.headers))
                    answer = link.getresponse()
                    data = answer.read()
                finally:
                    link.close()
                if fault == "lost":
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                length = len(data)
                for name, value in answer.getheaders():
                    if name.lower() == "content-length" and self.command == "HEAD":
                        length = int(value)
                    if name.lower() not in (*_HOP, "date", "server"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(data)

            def _answer(self, fault: str, service: str) -> None:
                throttled = fault == "throttled"
                data = b"" if self.command == "HEAD" else _THROTTLED.get(service, "{}").encode()
                self.send_response((503 if service in _THROTTLED else 429) if throttled else 500)
                if service not in _THROTTLED:
                    self.send_header("x-amzn-ErrorType", "TooManyRequestsException" if throttled else "ServerException")
                self.send_header("Content-Length", str(len(data) if throttled else 0))
                self.end_headers()
                if throttled:
                    self.wfile.write(data)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _any

            def log_message(self, *_: object) -> None:
                pass

        self._server = _Server((upstream.hostname or "", 0), Handler)
        self.endpoint = f"http://{upstream.hostname}:{self._server.server_port}"

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
