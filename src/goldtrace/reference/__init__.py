"""The built-in runs: ResNet-18 on real and on generated images, a small transformer, operators."""
