"""Parse a date written by a person, and find the last Friday of a month."""

from datetime import datetime

import dateutil
from dateutil import parser, tz
from dateutil.relativedelta import FR, relativedelta

moment = parser.parse("3rd of March 2025 5:30pm")
assert moment == datetime(2025, 3, 3, 17, 30), moment
assert (moment + relativedelta(day=31, weekday=FR(-1))).day == 28
assert tz.gettz("Asia/Tokyo").utcoffset(moment).seconds == 9 * 3600
print(f"python-dateutil {dateutil.__version__}: dates parsed and moved")
