#!/usr/bin/env python3
"""Images that no version reads, put into a registry: unreadable.py HOST REPOSITORY TAG KIND [VALUE].

  config TEXT    an appliance's config that is TEXT
  bare TAG       the config of TAG's image, and nothing of what it names
  signature TAG  of TAG's image; its config says that it is an appliance
"""
import hashlib
import json
import sys
import urllib.parse
import urllib.request

host, repository, name, kind, value = sys.argv[1:]
url = f"http://{host}/v2/{repository}"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.torpor.config.v1+json"
SIGNATURE = "application/vnd.torpor.signature.v1"


def ask(method, address, data=None, kind="application/octet-stream"):
    request = urllib.request.Request(address, data, {"Content-Type": kind, "Accept": MANIFEST}, method=method)
    with urllib.request.urlopen(request) as answer:
        return answer.headers, answer.read()


def descriptor(data, media_type):
    return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}


def blob(data, media_type):
    place = ask("POST", f"{url}/blobs/uploads/", b"")[0]["Location"]
    place = urllib.parse.urljoin(url, place)
    found = descriptor(data, media_type)
    ask("PUT", f"{place}{'&' if '?' in place else '?'}digest={found['digest']}", data)
    return found


manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": []}
if kind == "config":
    manifest["config"] = blob(value.encode(), CONFIG)
else:
    subject = ask("GET", f"{url}/manifests/{value}")[1]
    if kind == "bare":
        manifest["config"] = json.loads(subject)["config"]
    else:
        manifest |= {"artifactType": SIGNATURE, "subject": descriptor(subject, MANIFEST), "config": blob(b"{}", CONFIG),
                     "layers": [blob(b"untrusted comment: none\n", SIGNATURE)]}
        # A registry without the API of referrers: the fallback tag (distribution 1.1, "Referrers Tag Schema").
        name = descriptor(subject, MANIFEST)["digest"].replace(":", "-")
text = json.dumps(manifest).encode()
if kind == "signature":
    ask("PUT", f"{url}/manifests/{descriptor(text, MANIFEST)['digest']}", text, MANIFEST)
    entry = descriptor(text, MANIFEST) | {"artifactType": SIGNATURE}
    text = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]}).encode()
ask("PUT", f"{url}/manifests/{name}", text, json.loads(text)["mediaType"])
