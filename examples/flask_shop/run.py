"""
Run the shop, and a collector beside it: python run.py
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
COMMANDS = (
    ["-m", "cxsdk", "collector", "--db", "events.db"],
    ["-m", "flask", "--app", "app", "run", *sys.argv[1:]],
)

if __name__ == "__main__":
    running = [subprocess.Popen([sys.executable, *words], cwd=HERE) for words in COMMANDS]
    print("The shop: http://127.0.0.1:5000  its customers' journeys: http://127.0.0.1:4180")
    try:
        running[1].wait()
    except KeyboardInterrupt:
        pass
    for each in reversed(running):
        each.terminate()
        each.wait()
