"""Fills the keys that a Secret lacks with random passwords; what is there stays. Runs in the cluster, as a Job.

Usage: fill_secret.py NAMESPACE SECRET KEY [KEY ...]. Needs get and patch on that one Secret, and nothing but Python.
"""

import base64
import json
import os
import secrets
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# Letters and digits only: the passwords become parts of URLs.
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"


def call(url, method="GET", body=None):
    """Return the API server's answer to one request as an object; raises urllib's errors."""
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"}
    headers["Content-Type"] = "application/merge-patch+json"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    trust = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=10, context=trust) as answer:
        return json.load(answer)


def fill(url, keys):
    """Fill what is missing of `keys` and return its names; another writer in between makes it look again."""
    secret = call(url)
    missing = [key for key in keys if not (secret.get("data") or {}).get(key)]
    if missing:
        made = {key: "".join(secrets.choice(ALPHABET) for _ in range(32)) for key in missing}
        data = {key: base64.b64encode(value.encode()).decode() for key, value in made.items()}
        version = {"resourceVersion": secret["metadata"]["resourceVersion"]}
        call(url, "PATCH", {"metadata": version, "data": data})
    return missing


def main(namespace, name, *keys):
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    host = f"[{host}]" if ":" in host else host
    url = f"https://{host}:{port}/api/v1/namespaces/{namespace}/secrets/{name}"
    deadline = time.monotonic() + 120
    while True:
        try:
            missing = fill(url, keys)
        except OSError as error:
            # 409: somebody wrote in between. 403 and 404: the Role or the Secret comes a moment later.
            if time.monotonic() > deadline:
                sys.exit(f"Secret {name} can't be filled: {error}.")
            time.sleep(1)
        else:
            print(f"Secret {name}: {'made ' + ', '.join(missing) if missing else 'has every key, nothing changed'}.")
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
