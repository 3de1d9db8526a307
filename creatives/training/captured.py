"""One step of training as one graph of kernels: a graphics card is done with a step before Python has asked for it."""

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")
WARM = 3
"""Calls before the capture, in which libraries choose their kernels; each is a real step."""


class Captured(Generic[Result]):
    """``work`` on tensors of fixed shapes, replayed; what it returns is overwritten by the next call."""

    def __init__(self, work: Callable[..., Result], *given: Tensor) -> None:
        self._given = [each.clone() for each in given]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM):
                work(*self._given)
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._result = work(*self._given)

    def __call__(self, *given: Tensor) -> Result:
        for mine, each in zip(self._given, given, strict=True):
            mine.copy_(each)
        self._graph.replay()
        return self._result
