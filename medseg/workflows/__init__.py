"""Find, merge, check, run and flatten bundles."""
