"""
Make the database, and run the shop with a collector beside it: python run.py
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
COLLECTOR = ["-m", "cxsdk", "collector", "--db", "events.db"]
SHOP = ["manage.py", "runserver", "--noreload", *sys.argv[1:]]

if __name__ == "__main__":
    for words in (["migrate", "-v", "0"], ["seed"]):
        subprocess.run([sys.executable, "manage.py", *words], cwd=HERE, check=True)
    running = [subprocess.Popen([sys.executable, *words], cwd=HERE) for words in (COLLECTOR, SHOP)]
    print("The shop: http://127.0.0.1:8000  its customers' journeys: http://127.0.0.1:4180")
    try:
        running[1].wait()
    except KeyboardInterrupt:
        pass
    for each in reversed(running):
        each.terminate()
        each.wait()
