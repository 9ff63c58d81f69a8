"""The process in a region: dials out, obeys its own policy, runs probes, nothing else."""
