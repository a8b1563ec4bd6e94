"""The far end of the checks ``spawned`` and ``offline``: a fresh process that runs one plugin.

``python -c "from mer_core.testing.child import main; main()"`` reads a pickled order from standard
input and writes pickled answers to standard output; what the plugin prints goes to standard error.
"""

from __future__ import annotations

import os
import pickle
import socket
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

from mer_core.testing.words import said


class Order(NamedTuple):
    """What to do: make ``target`` with ``options`` on ``device``, restore ``state``, call ``method``."""

    target: str
    options: Any
    device: str
    state: Any
    method: str
    samples: Sequence[Any]


def main() -> None:
    """Serve one order: ``(offline, pickled order)`` in, ``(answers, "")`` or ``(None, error)`` out."""
    answers_to = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    offline, order = pickle.load(sys.stdin.buffer)
    if offline:
        forbid_network()
    target = ""
    try:
        asked: Order = pickle.loads(order)
        target = asked.target
        reply = pickle.dumps((work(asked), ""))
    except BaseException as error:
        reply = pickle.dumps((None, said(error, target)))
    answers_to.write(reply)
    answers_to.close()


def work(order: Order) -> list[Any]:
    """The plugin's answers."""
    module, _, name = order.target.partition(":")
    instance = getattr(import_module(module), name)(order.options, order.device)
    if order.state is not None:
        instance.restore(order.state)
    return [next(iter(getattr(instance, order.method)([sample]))) for sample in order.samples]


def forbid_network() -> None:
    """From now on every connection but a Unix socket's is refused in this process."""

    connect = socket.socket.connect

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise OSError("the network is switched off by the check 'offline'")

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != getattr(socket, "AF_UNIX", None):
            refuse()
        connect(self, address)

    changed: list[tuple[Any, str, Any]] = [(socket.socket, "connect", guarded)]
    changed += [(socket.socket, name, refuse) for name in ("connect_ex", "sendto")]
    changed += [(socket, name, refuse) for name in ("create_connection", "getaddrinfo", "gethostbyname")]
    for owner, name, substitute in changed:
        setattr(owner, name, substitute)
