"""Every release of a package: neighbours compared, the bisection held against them, a page."""
