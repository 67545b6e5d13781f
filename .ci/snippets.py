"""Runs the snippets of pages: snippets.py BASE FOLDER PAGE...

Every block of `sh`, `python` and `js` runs by itself, in FOLDER, with the address of `pitaya demo` replaced by BASE. A block fails by
its exit status; a refusal fails it unless the page is about refusals.
"""

import re
import subprocess
import sys
from pathlib import Path

SHOWN = "http://127.0.0.1:8080"
RUNNERS = {
    "sh": ["bash", "-euo", "pipefail"],
    "python": ["python"],
    "js": ["node", "--input-type=module"],
}
CURL = 'curl() { command curl --fail-with-body --silent --show-error "$@"; }'
# A mistyped parameter, and the progress of a query that may be over.
REFUSED = ["?site=", "/v1/progress/"]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


def main():
    base, folder, *pages = sys.argv[1:]
    failed = ran = 0
    for page in pages:
        text = Path(page).read_text()
        for block in BLOCK.finditer(text):
            language, code = block.groups()
            if language not in RUNNERS:
                continue
            place = f"{page}:{text[: block.start()].count(chr(10)) + 1}"
            code = code.replace(SHOWN, base)
            # By itself, curl takes a refusal for a success.
            if language == "sh" and not any(refused in code for refused in REFUSED):
                code = f"{CURL}\n{code}"
            run = subprocess.run(
                RUNNERS[language], input=code, cwd=folder, capture_output=True, text=True, timeout=120
            )
            ran += 1
            shown = run.stdout.strip().replace("\n", "\n    ")[:300]
            print(f"{place}: {language}: {'ok' if run.returncode == 0 else 'FAILED'}\n    {shown}")
            if run.returncode != 0:
                failed += 1
                print(run.stderr[-2000:])
    print(f"{ran} snippets, {failed} failed")
    sys.exit(failed > 0 or ran == 0)


main()
