"""Tell the service to load what is current now; exit status 1 where it could not: python reload.py PORT_FILE"""

import sys
import urllib.request
from pathlib import Path

port = Path(sys.argv[1]).read_text()
with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/reload", method="POST"), timeout=30) as answer:
    sys.stdout.write(answer.read().decode() + "\n")
