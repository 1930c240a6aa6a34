"""
A file system that is frozen, as a volume's snapshot does: on a real one, by ``fsfreeze``.
"""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

FROZEN_S = 2.0

HOST = """
import subprocess, threading
worst, last, over = [0.0], [time.monotonic()], threading.Event()


def tick():
    # Another thread of the host, that has nothing to do with us.
    while not over.is_set():
        time.sleep(0.01)
        now = time.monotonic()
        worst[0], last[0] = max(worst[0], now - last[0]), now


init()
ids = count(200)
ticking = threading.Thread(target=tick)
ticking.start()
time.sleep(0.5)
subprocess.run(["fsfreeze", "--freeze", args["volume"]], check=True)
try:
    # The thaw comes from outside: this process may stand still meanwhile.
    thaw = subprocess.Popen(["sh", "-c", f"sleep {args['frozen']}; fsfreeze -u {args['volume']}"])
    began = time.monotonic()
    while thaw.poll() is None:
        ids += count(20, len(ids))
        time.sleep(0.01)
    took = time.monotonic() - began
finally:
    subprocess.run(["fsfreeze", "--unfreeze", args["volume"]], stderr=subprocess.DEVNULL)
over.set()
ticking.join()
ids += count(200, len(ids))
say(ids=ids, worst=worst[0], took=took, pending=client().flush(20).pending, ledger=ledger(),
    level=client().stats()["spool"]["level"])
"""


@pytest.fixture
def volume(tmp_path):
    """A small ext4 volume of its own, mounted where the spool lies."""
    tools = ("fsfreeze", "losetup", "mkfs.ext4", "mount", "umount")
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if os.geteuid() != 0 or missing:
        # Also in CI: a container without the right to mount cannot have it, nor install it.
        pytest.skip(f"freezing needs root and {', '.join(missing) or 'nothing else'}")
    image, place = tmp_path / "image", tmp_path / "volume"
    with image.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    place.mkdir()
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    mounted = subprocess.run(
        ["mount", "-o", "loop", str(image), str(place)], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no volume can be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["fsfreeze", "--unfreeze", str(place)], check=False, stderr=subprocess.DEVNULL)
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["mmap", "write"])
def test_a_frozen_volume_loses_nothing(run, collector, volume, mode):
    """
    Calls may stand still until the thaw, then all goes on: what was accepted arrives once.

    In ``write`` mode only the thread that emits stands still, and the host's others go on.
    """
    said = run(
        HOST,
        collector,
        root=str(volume / "root"),
        volume=str(volume),
        frozen=FROZEN_S,
        spool={"mode": mode},
    ).said
    assert said["level"] == mode
    assert said["took"] >= FROZEN_S * 0.9
    assert said["pending"] == 0
    assert said["ledger"] == {"offered": 0, "default": 0}
    assert sorted(collector.ids) == sorted(said["ids"])
    assert len(said["ids"]) > 400
    if mode == "write":
        assert said["worst"] < FROZEN_S / 2
