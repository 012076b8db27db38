"""Makes a container in Azurite: account, key, container and the address of the account. The request has to be signed."""

import base64
import datetime
import hashlib
import hmac
import sys
import urllib.request

account, key, container, address = sys.argv[1:]
now = datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
headers = {"x-ms-date": now, "x-ms-version": "2021-12-02"}
named = "".join(f"{name}:{value}\n" for name, value in headers.items())
signed = "PUT" + "\n" * 12 + named + f"/{account}/{account}/{container}\nrestype:container"
signature = base64.b64encode(hmac.new(base64.b64decode(key), signed.encode(), hashlib.sha256).digest()).decode()
headers |= {"Authorization": f"SharedKey {account}:{signature}", "Content-Length": "0"}
url = f"{address}/{container}?restype=container"
urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers))
