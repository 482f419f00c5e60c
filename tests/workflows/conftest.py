from studies import start  # noqa: F401
