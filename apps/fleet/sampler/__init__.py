"""The sampler of this host: reads it with psutil and feeds the server `local`."""

from apps.fleet.sampler.thread import LocalSampler

__all__ = ["LocalSampler"]
