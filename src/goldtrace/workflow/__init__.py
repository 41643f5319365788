"""What the commands do: the only place where the stages are put together, a module each."""
