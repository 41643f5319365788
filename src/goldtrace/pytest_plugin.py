"""The pytest plugin: options, hooks and the fixture; no decisions."""
