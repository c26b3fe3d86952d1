"""The NVIDIA GPUs of this machine, by NVML, and their shares for slots."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True, slots=True)
class Gpu:
    """``index`` is NVML's, in order of PCI addresses; ``memory`` in bytes."""

    index: int
    uuid: str
    name: str
    memory: int


def find_gpus(environ: Mapping[str, str] = os.environ) -> tuple[list[Gpu], str]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves us, and why there are none where there are none."""
    try:
        import pynvml
    except ImportError:
        return [], "the package nvidia-ml-py, by which GPUs are found, is not installed"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return [], f"NVML cannot be used: {error}"
    try:
        found = [_describe(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())]
    finally:
        pynvml.nvmlShutdown()
    if not found:
        return [], "this machine has no NVIDIA GPU"
    left = _visible(found, environ.get("CUDA_VISIBLE_DEVICES"))
    return left, "" if left else "CUDA_VISIBLE_DEVICES hides all GPUs of this machine"


def _describe(pynvml: ModuleType, index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    # Bytes up to version 11.5 of the bindings, text since.
    uuid, name = (
        text.decode() if isinstance(text, bytes) else str(text)
        for text in (pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle))
    )
    return Gpu(index, uuid, name, int(pynvml.nvmlDeviceGetMemoryInfo(handle).total))


def _visible(gpus: Sequence[Gpu], text: str | None) -> list[Gpu]:
    """CUDA's own rule: indices or beginnings of UUIDs; the first that fits nothing ends the list."""
    if text is None:
        return list(gpus)
    found: list[Gpu] = []
    for word in filter(None, (word.strip() for word in text.split(","))):
        fitting = [gpu for gpu in gpus if word == str(gpu.index) or (word[:4] == "GPU-" and gpu.uuid.startswith(word))]
        if len(fitting) != 1:
            break
        found += fitting
    return found


def is_kind(gpu: Gpu, wanted: str | None) -> bool:
    """Whether a GPU is of the model that a spec names: ``T4`` is a ``Tesla T4``, ``A100`` an
    ``NVIDIA A100-SXM4-40GB`` and ``a100-40gb`` too."""
    if wanted is None:
        return True
    return set(_words(wanted)) <= set(_words(gpu.name))


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def slots_of(gpus: Sequence[Gpu], each: float) -> list[str]:
    """What CUDA_VISIBLE_DEVICES says in each slot, where a trial takes ``each`` GPUs or a share of one."""
    if each < 1:
        # 1/3 of a GPU thrice is a whole one, whatever the last binary digit says.
        return [str(gpu.index) for _ in range(int(1 / each + 1e-6)) for gpu in gpus]
    many = int(each)
    groups = [gpus[at : at + many] for at in range(0, len(gpus) - many + 1, many)]
    return [",".join(str(gpu.index) for gpu in group) for group in groups]
