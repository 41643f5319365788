"""A pytest in a child process whose pins were in place before its interpreter started."""
