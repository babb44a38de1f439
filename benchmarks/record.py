"""What every benchmark keeps with its figures: its name, the date, and the machine with its load."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


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
        Path(out).write_text(json.dumps(document, indent=2) + "\n")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
