"""Which package, and which release of it, moved a training: searching, minimising, probing."""
