"""``python -m mer_core.engine.child``: works off an order that comes over standard input.

Ctrl-C is the parent's business. The parent never closes the pipe: if it ends, the parent is dead.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
from pathlib import Path


def main() -> int:
    """Serve one order; the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path[:] = pickle.load(sys.stdin.buffer)
    content = pickle.load(sys.stdin.buffer)
    from mer_core.engine.suspects import serve

    _leave_no_core()
    return serve(content, _die_with_parent)


def _die_with_parent(journal: Path) -> None:
    """If the parent is killed, end too; its own journal still lists the suspects."""

    def watch() -> None:
        sys.stdin.buffer.read(1)
        journal.unlink(missing_ok=True)
        journal.with_suffix(".done").unlink(missing_ok=True)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _leave_no_core() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)
