"""One model on several processes, on one machine or many: torch.distributed, started by `torchrun`."""
