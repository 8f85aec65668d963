"""Counts the memory that code asks for, where speed is graded: bytes are the same on every machine, seconds are not."""

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class AllocationCounter(TorchDispatchMode):
    """While the `with` block runs, adds up the size of each new tensor.

    A view of a tensor, or a tensor that is changed in place, is not new; nor is one on the meta device, which has no
    numbers.

    Attributes:
        bytes: of all new tensors, whether they still exist or not.
    """

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        old = {storage_of(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        new = {storage_of(leaf): leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor) and not leaf.is_meta}
        self.bytes += sum(leaf.untyped_storage().nbytes() for storage, leaf in new.items() if storage not in old)
        return result


def storage_of(tensor: Tensor) -> int:
    """The memory that a tensor lies in, or is a view of."""
    return 0 if tensor.is_meta else tensor.untyped_storage().data_ptr()
