"""Candidate goldens in a report: what a failing check proposes, and how it is read back."""
