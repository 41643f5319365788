"""The golden items of a pytest session: what they are, how they run, what became of them."""
