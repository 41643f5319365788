"""Sets of package releases: read from locks, asked of the index, resolved, installed."""
