"""licenses.py: reads lines "NAME vVERSION (LICENCE)" of crates that are built in, and prints for each the licence files that its authors
have put into it, which most licences ask to be handed on. A text that several have in common is printed once, below the names of all."""

import json
import re
import subprocess
import sys
from pathlib import Path


def main():
    metadata = json.loads(subprocess.check_output(["cargo", "metadata", "--format-version", "1", "--locked"]))
    places = {f"{package['name']} v{package['version']}": Path(package["manifest_path"]).parent for package in metadata["packages"]}
    texts = {}
    for line in sys.stdin:
        name, version, *licence = line.split(maxsplit=2)
        crate = f"{name} {version}"
        files = sorted(path for path in places[crate].iterdir() if re.match(r"(?i)(licen[cs]e|copying|copyright|notice|unlicense)", path.name))
        found = [path.read_text(encoding="utf-8", errors="replace").strip() for path in files if path.is_file()]
        for text in found or [f"It comes without a text; its authors name the licence {' '.join(licence).strip()}"]:
            texts.setdefault(text, []).append(crate)
    for text, crates in texts.items():
        print("\n".join(crates), text, "=" * 80, sep="\n\n")


main()
