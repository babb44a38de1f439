"""What every benchmark keeps with its figures: its name, the date, the machine with its load. And how it is written.

A committed result is read as a diff. So an entry that belongs together, such as a row, a gap or the means of a variant,
stands on one line.
"""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LONGEST_ENTRY = 700
"""Characters that a line may have before its entry is opened up."""


def record(benchmark: str, **figures: Any) -> dict[str, Any]:
    """The document of a benchmark."""
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return {"benchmark": benchmark, "date": date, "machine": machine(), **figures}


def machine() -> str:
    """Processor, CPUs that this process may use, and how busy they were in the last minute."""
    return f"{_processor()}, {len(os.sched_getaffinity(0))} CPUs, load {os.getloadavg()[0]:.1f}"


def save(document: dict[str, Any], out: str | Path | None) -> None:
    """Write a document as JSON, where that is wanted."""
    if out:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(to_text(document))


def to_text(document: dict[str, Any]) -> str:
    """A document as JSON, its keys and the objects of its lists on a line each.

    >>> print(to_text({"seeds": [1, 2], "rows": [{"model": "din", "auc": 0.76}, {"model": "rosa", "auc": 0.79}]}))
    {
      "seeds": [1, 2],
      "rows": [
        {"model": "din", "auc": 0.76},
        {"model": "rosa", "auc": 0.79}
      ]
    }
    <BLANKLINE>
    """
    return _open(document, "") + "\n"


def _text(value: Any, indent: str) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    opened = isinstance(value, dict | list) and value and (len(flat) > LONGEST_ENTRY or _holds_objects(value))
    return _open(value, indent) if opened else flat


def _open(value: dict[str, Any] | list[Any], indent: str) -> str:
    deeper = indent + "  "
    if isinstance(value, list):
        return "[\n" + ",\n".join(deeper + _text(item, deeper) for item in value) + f"\n{indent}]"
    entries = (f"{deeper}{json.dumps(key)}: {_text(item, deeper)}" for key, item in value.items())
    return "{\n" + ",\n".join(entries) + f"\n{indent}}}"


def _holds_objects(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_objects(item) for item in value.values())
    return isinstance(value, list) and any(isinstance(item, dict) for item in value)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
