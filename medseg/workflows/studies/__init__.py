"""Many runs in turn, as child processes: a task's methods, or the values of some settings; then their comparison."""
