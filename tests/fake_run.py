"""What a training or an evaluation leaves behind, without the work: the child processes of the studies in these tests.

    python fake_run.py train|evaluate SETTINGS.json-text

`<dataset_dir>/conduct.json` says how: {"<method>/seed<k>": "fail in train" | "wait in evaluate" | …}.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

STEPS, PLANNED = 4, 7  # an epoch; epochs that fit into minutes


def main(workflow: str, settings: dict) -> None:
    """Leave the files that `medseg study` looks at."""
    out = Path(settings["output_dir"])
    conduct = json.loads((Path(settings["dataset_dir"]) / "conduct.json").read_text())
    how = conduct.get("/".join(out.parts[-2:]), "")
    print(f"{workflow} {out.name} resume={settings.get('resume')}")
    if how == f"fail in {workflow}":
        sys.exit("Traceback …\n\nmedseg: [E801] the loss is not finite; fix: lower the learning rate")
    if how == f"refuse in {workflow}":
        sys.exit("Traceback …\n\nmedseg: [E903] the setting momentum has no such value; fix: set another momentum")
    if how == f"refuse in {workflow} with code 2":
        print("no such option")
        sys.exit(2)
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "calls.txt", "a") as calls:
        calls.write(f"{workflow} {settings.get('epochs')} {settings.get('minutes')} {settings['seed']}\n")
    if how == f"wait in {workflow}":
        wait(out)
    train(out, settings) if workflow == "train" else (out / "cases.csv").write_text("case,label,dice\na,l,1\n")


def wait(out: Path) -> None:
    """Until the process is ended; at SIGTERM it says goodbye first, as a training does."""

    def leave(number: int, frame: object) -> None:
        (out / "goodbye").write_text("")
        print("stopped by SIGTERM")
        sys.exit(143)

    signal.signal(signal.SIGTERM, leave)
    (out / "pid").write_text(str(os.getpid()))
    time.sleep(200)


def train(out: Path, settings: dict) -> None:
    epochs = settings.get("epochs") or PLANNED
    record = {"finished": "now", "epochs": epochs, "steps_an_epoch": STEPS, "parameters": 1_500_000,
              "seed": settings["seed"]}  # fmt: skip
    (out / "record.json").write_text(json.dumps(record))
    (out / "log.csv").write_text(f"epoch,iteration,loss,learning_rate,seconds\n{epochs},{epochs * STEPS},1,1,30\n")
    (out / "bundle" / "models").mkdir(parents=True, exist_ok=True)
    (out / "bundle" / "models" / "model.pt").write_text("")


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
