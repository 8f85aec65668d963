"""One model on several processes, and so on several machines: torch's distributed engine, started by `torchrun`."""
