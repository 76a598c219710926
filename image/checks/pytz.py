"""Convert between time zones, by pytz and by zoneinfo."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytz

summer = pytz.timezone("Europe/Berlin").localize(datetime(2025, 7, 1, 12))
assert summer.astimezone(pytz.utc).hour == 10
assert summer.astimezone(ZoneInfo("America/New_York")).hour == 6
print(f"pytz {pytz.__version__}: time zones")
