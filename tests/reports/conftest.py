from written_run import complete  # noqa: F401
