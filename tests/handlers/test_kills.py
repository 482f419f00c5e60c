"""A run that writes a checkpoint at every step, killed fifty times at random moments."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "kill_loop.py"


def test_fifty_kills_leave_a_loadable_state_and_change_nothing(tmp_path):
    done = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    saw = json.loads(done.stdout.splitlines()[-1])
    assert (saw["kills"], saw["damaged"], saw["ends"], saw["same"]) == (50, 0, [0, 0], True)
    assert sorted(saw["left"]) == ["best.pt", "last.prev.pt", "last.pt"]  # and no temporary files
