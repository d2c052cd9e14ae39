"""What a task uses of a GPU: which one it is, and its peak memory. Without one all is empty, and no torch is loaded."""

from __future__ import annotations

import sys
from typing import Any


def describe(device: str) -> dict[str, str | int | None]:
    """Name, memory in bytes, and the CUDA version that torch was built for."""
    torch = _torch(device)
    if torch is None:
        return {}
    found = torch.cuda.get_device_properties(device)
    return {"name": found.name, "memory": found.total_memory, "cuda": torch.version.cuda}


def reset_peak_memory(device: str) -> None:
    """Start to measure `peak_memory` anew."""
    torch = _torch(device)
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: str) -> int:
    """Peak of the bytes that torch has held on the device since the last reset."""
    torch = _torch(device)
    return int(torch.cuda.max_memory_allocated(device)) if torch is not None and torch.cuda.is_initialized() else 0


def _torch(device: str) -> Any:
    """The library, where it is loaded already and the device is its own."""
    return sys.modules.get("torch") if device.startswith("cuda") else None
