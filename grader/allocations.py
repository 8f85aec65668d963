"""Counts the memory that code allocates, to grade speed: bytes are the same on every machine, seconds are not."""

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class AllocationCounter(TorchDispatchMode):
    """Adds up the sizes of all new tensors while the `with` block runs.

    A view of a tensor, or a tensor that is modified in place, is not new; nor is one on the meta device, which has no
    data.

    Attributes:
        bytes: the sum over all new tensors, whether they still exist or not.
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
    """The address of the memory that a tensor uses, itself or as a view."""
    return 0 if tensor.is_meta else tensor.untyped_storage().data_ptr()
