"""Print the pages' last run times, the longest first."""

import json
import sys
from pathlib import Path

found = Path(__file__).parents[2] / "_build" / ".jupyter_cache" / "kexue.json"
if not found.exists():
    sys.exit("no page has run yet: make book")
times = {
    name: entry["seconds"] for name, entry in json.loads(found.read_text()).items()
}
for name in sorted(times, key=times.__getitem__, reverse=True):
    print(f"{times[name]:7.1f} s  {name}")
print(f"{sum(times.values()):7.1f} s  together")
