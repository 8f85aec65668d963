"""Counts what a process sends: the collective calls, and the bytes in them."""

from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode

COLLECTIVES = ("all_reduce", "all_gather_into_tensor", "reduce_scatter_tensor")


class TrafficCounter(TorchDispatchMode):
    """Within a `with` block, counts collective operations by name: `calls`, and `bytes` of this process's input.

    How much is sent over the network depends on the algorithm. A ring all-reduce of n bytes among W processes sends
    2 n (W - 1) / W bytes from each.
    """

    def __init__(self):
        super().__init__()
        self.calls, self.bytes = Counter(), Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.namespace in ("_c10d_functional", "c10d") and torch.is_tensor(args[0]):
            name = function._schema.name.partition("::")[2].rstrip("_")
            if name in COLLECTIVES:
                self.calls[name] += 1
                self.bytes[name] += args[0].nbytes
        return function(*args, **(kwargs or {}))
