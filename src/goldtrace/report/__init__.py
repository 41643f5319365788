"""One neutral document about a check, and its faces for people."""
