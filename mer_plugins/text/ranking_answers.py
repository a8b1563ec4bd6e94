"""Answers of a language model, kept by model, prompt version and text, so that nothing is asked twice."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path

from platformdirs import user_cache_path


class Answers:
    """One file below the cache folder (``MER_CACHE``). It holds answers, but neither transcripts nor keys.

    Safe to use from several threads, and to be appended to by several processes.
    """

    def __init__(self, model: str, prompt_version: str) -> None:
        self._about = (model, prompt_version)
        top = Path(os.environ.get("MER_CACHE") or user_cache_path("mer"))
        self.path = top / "rankings" / f"{_digest(*self._about)[:24]}.jsonl"
        self._lock = threading.Lock()
        self._known, self._torn = _read(self.path)

    def __len__(self) -> int:
        return len(self._known)

    def get(self, text: str) -> str | None:
        """The answer about ``text``, if it is known."""
        return self._known.get(_digest(*self._about, text))

    def add(self, text: str, answer: str) -> None:
        """Keep an answer. Where there is no room, this run has it all the same."""
        key = _digest(*self._about, text)
        with self._lock:
            self._known[key] = answer
            line = json.dumps({"key": key, "answer": answer}, ensure_ascii=False) + "\n"
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                try:
                    os.write(handle, (("\n" if self._torn else "") + line).encode())
                finally:
                    os.close(handle)
            except OSError:
                return
            self._torn = False


def _read(path: Path) -> tuple[dict[str, str], bool]:
    """What is known, and whether the last line broke off. Damaged lines are left out."""
    try:
        content = path.read_bytes()
    except OSError:
        return {}, False
    found: dict[str, str] = {}
    for line in content.split(b"\n"):
        try:
            entry = json.loads(line)
            found[str(entry["key"])] = str(entry["answer"])
        except (ValueError, KeyError, TypeError):
            continue
    return found, bool(content) and not content.endswith(b"\n")


def _digest(*parts: str) -> str:
    return hashlib.sha256("|".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
