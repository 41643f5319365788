"""The golden directory: runs that people declared, and the goldens that were accepted."""
