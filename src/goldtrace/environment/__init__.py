"""What machine, packages and code a run met: the probe, the platform key, the difference of two."""
