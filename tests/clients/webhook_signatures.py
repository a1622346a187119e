"""Whether each request of a file was signed by the secret in $SECRET, as `standardwebhooks` signs.

A line is `[id, timestamp, signature, body]`. The library's own check would also refuse what came more than five minutes ago.
"""

import json
import os
import sys
from datetime import datetime, timezone

from standardwebhooks.webhooks import Webhook

hook = Webhook(os.environ["SECRET"])
count = 0
with open(sys.argv[1], encoding="utf-8") as lines:
    for line in lines:
        identity, time, signature, body = json.loads(line)
        made = hook.sign(identity, datetime.fromtimestamp(int(time), timezone.utc), body)
        assert signature == made, f"{identity} at {time} bears {signature}, not {made}"
        count += 1
print(count, "ok")
