"""The machine and the versions that numbers are of."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

PACKAGES = ("penstock", "dask", "distributed", "loky", "cloudpickle", "pluggy", "numpy", "pandas", "kedro")


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def description() -> str:
    """One line on the machine, and one on the versions; one more if others use the machine, too."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    lines = [
        f"{cores()} cores{_of_processor()}, {_memory()}, {platform.system()}, {python}.",
        ", ".join(f"{name} {version}" for name in PACKAGES if (version := _version(name))) + ".",
    ]
    load = load_of_others()
    if load > cores() / 4:
        lines.append(
            f"**The machine was busy** (load {load:.1f} before the start): times are too long, and ratios vary."
        )
    return "\n".join(lines)


def load_of_others() -> float:
    """How many processes wanted to run in the last minute, as the kernel counts them; 0 where it does not."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def _of_processor() -> str:
    table = Path("/proc/cpuinfo")
    lines = table.read_text(encoding="utf-8").splitlines() if table.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor()
    return f" ({name})" if name else ""


def _memory() -> str:
    if not hasattr(os, "sysconf"):
        return "memory unknown"
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GB"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
