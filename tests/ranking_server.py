"""A language model's server on loopback: it does what its script says, and notes what it was asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

KEY = "sk-very-secret-0123456789"


class Reply(NamedTuple):
    """What the server does with one question."""

    content: str | None = None
    status: int = 200
    headers: Mapping[str, str] = {}
    error: Mapping[str, Any] = {}
    slow: float = 0.0
    cut: bool = False
    refusal: str | None = None

    def body(self) -> bytes:
        """As the published protocol has it; cut off in the middle if wanted."""
        message = {"role": "assistant", "content": self.content, "refusal": self.refusal}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        good = {"id": "x", "object": "chat.completion", "created": 1, "model": "toy", "choices": [choice]}
        whole = json.dumps(good if self.status == 200 else {"error": dict(self.error)}).encode()
        return whole[: len(whole) // 2] if self.cut else whole


GOOD = Reply('["高兴", "惊讶", "中性", "担心", "悲伤", "愤怒"]')


class Server:
    """Plays ``script``, then repeats its last reply. ``questions`` are the bodies that came, ``keys`` their keys."""

    def __init__(self, script: Sequence[Reply]) -> None:
        self.script, self.questions, self.keys = list(script), [], []  # type: ignore[var-annotated]
        self.url, self.together, self._busy, self._lock = "", 0, 0, threading.Lock()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Handle one request."""
        asked = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self._lock:
            reply = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            self.questions.append(asked)
            self.keys.append(handler.headers["Authorization"])
            self._busy += 1
            self.together = max(self.together, self._busy)
        time.sleep(reply.slow)
        with self._lock:
            self._busy -= 1
        body = reply.body()
        handler.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


@contextmanager
def serving(*script: Reply) -> Iterator[Server]:
    """A server that runs while the block does."""
    server = Server(script or (GOOD,))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            with suppress(BrokenPipeError, ConnectionResetError):  # the client did not wait
                server.answer(self)

        def log_message(self, *args: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{listening.server_port}/v1"
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
