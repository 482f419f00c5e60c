from runs import phantoms, short_run  # noqa: F401
