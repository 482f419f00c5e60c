"""Start-up: what our bundle and our command add to importing torch and MONAI.

Goals: `python -m monai.bundle run` on the bundle with a run id that does nothing at most 1.3 times
`python -c "import torch, monai"`; `medseg --help` at most a tenth of it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from interleave import compare

from medseg.workflows.bundles import find_bundle

IMPORT = "import torch, monai"
BUNDLE = "bundle run that does nothing"
HELP = "medseg --help"


def main() -> None:
    """Print the table, and whether the goals are met."""
    config = find_bundle("hippocampus_mri") / "configs" / "train.yaml"
    run = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(config), "--run_id", "finalize"]
    with tempfile.TemporaryDirectory() as folder:
        ratios = compare({
            IMPORT: [sys.executable, "-c", IMPORT],
            BUNDLE: [*run, "--output_dir", folder],
            HELP: [str(Path(sys.executable).with_name("medseg")), "--help"],
        }, IMPORT)  # fmt: skip
    print(f"bundle: {ratios[BUNDLE]:.3f} (goal <= 1.3); help: {ratios[HELP]:.3f} (goal <= 0.1)")
    if ratios[BUNDLE] > 1.3 or ratios[HELP] > 0.1:
        sys.exit(1)


if __name__ == "__main__":
    main()
