"""The precision that a device computes fastest in, unless somebody chose otherwise."""

import torch

from creatives.neural.runner import chosen_precision


def in_own_precision(device: torch.device) -> torch.autocast:
    """Convolutions in bfloat16, as in training, where the device computes in it."""
    able = torch.cpu.get_capabilities()
    native = device.type == "cuda" or able.get("amx_bf16", False) or able.get("avx512_bf16", False)
    chosen = native and chosen_precision() != "float32"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=chosen, cache_enabled=False)
