# Signatures as referrers: with the fallback tag in docker-registry, which has no API for them, and with the API
# of torpor serve.

sign_it() { # signed.torpor is full.torpor with a signature by key.pub
    works keygen --no-passphrase -p key.pub -s key.key
    works keygen --no-passphrase -p other.pub -s other.key
    works sign -s key.key -o signed.torpor full.torpor
    works sign -s other.key -o other.torpor full.torpor
}

# The index of an image's referrers by the tag.
tagged() { # REPOSITORY MANIFEST
    curl -s -H 'Accept: application/vnd.oci.image.index.v1+json' "http://$registry/v2/$1/manifests/${2/:/-}"
}

signed_images() {
    local digest
    need docker-registry curl
    appliances
    sign_it
    start_registry
    works push --json signed.torpor "docker://$registry/torpor/signed:v1"
    digest=$(json "d['digest']" <<<"$out")
    works push signed.torpor "docker://$registry/torpor/signed:v1"
    same "what is attached" "$(tagged torpor/signed "$digest" | json "[m['artifactType'] for m in d['manifests']]")" \
        "['application/vnd.torpor.signature.v1']"
    # An image that was pushed without: its tag and its digest stay.
    works push --json full.torpor "docker://$registry/torpor/later:v1"
    digest=$(json "d['digest']" <<<"$out")
    refuses 125 'is not signed' push --signature full.torpor "docker://$registry/torpor/later:v1"
    works push increment.torpor "docker://$registry/torpor/increment:v1"
    refuses 121 'another appliance' push --signature signed.torpor "docker://$registry/torpor/increment:v1"
    elsewhere
    works pull "docker://$registry/torpor/later:v1"
    refuses 121 'not signed' verify --key key.pub "$registry/torpor/later:v1"
    works push --json --signature other.torpor "docker://$registry/torpor/later:v1"
    same "the image" "$(json "d['digest']" <<<"$out")" "$digest"
    works push --signature signed.torpor "docker://$registry/torpor/later:v1"
    same "what is attached" "$(tagged torpor/later "$digest" | json "len(d['manifests'])")" 2
    works pull "docker://$registry/torpor/later:v1"
    works verify --key key.pub "$registry/torpor/later:v1"
    works verify --key other.pub "$registry/torpor/later:v1"
    works resume -d -n woken --require-signature key.pub "$registry/torpor/later:v1"
    answers woken "check 4 12 7" "check ok"
    works kill woken
    works keygen --no-passphrase -p third.pub -s third.key
    refuses 121 'signed by key .*not trusted' resume -d --require-signature third.pub "$registry/torpor/later:v1"
    # They go along to another registry, or another repository.
    works push --json "docker://$registry/torpor/later:v1" "docker://$registry/torpor/onward:v1"
    same "the image" "$(json "d['digest']" <<<"$out")" "$digest"
    same "what is attached" "$(tagged torpor/onward "$digest" | json "len(d['manifests'])")" 2
    # The API, of what has them in its store; gc leaves them.
    works gc
    start_server
    same "referrers" "$(curl -s "http://$served/v2/torpor/later/referrers/$digest" | json "len(d['manifests'])")" 2
    curl -s -D headers -o none "http://$served/v2/torpor/later/referrers/$digest?artifactType=application%2Fother"
    same "of another type" "$(json "d['manifests']" <none)" "[]"
    grep -qi '^OCI-Filters-Applied: artifactType' headers || fail "$(<headers)"
    elsewhere again
    works pull "docker://$served/torpor/later:v1"
    works verify --key key.pub "docker://$served/torpor/later:v1"
    works verify --key other.pub "docker://$served/torpor/later:v1"
    works_silently rmi "docker://$served/torpor/later:v1"
    works gc
    same "what is left" "$(ls "$XDG_DATA_HOME"/torpor/oci/{images,blobs/sha256} | grep -c '^[0-9a-f]')" 0
}
try signed_images "signatures go along beside an image, and come with it; --signature attaches one later"

# A registry that has the API says so: then there is no tag.
subject_is_noted() {
    local digest
    need docker-registry curl
    appliances
    sign_it
    start_registry
    start_proxy proxy subject
    works push --json signed.torpor "docker://$proxy/torpor/signed:v1"
    digest=$(json "d['digest']" <<<"$out")
    same "tags" "$(curl -s "http://$registry/v2/torpor/signed/tags/list" | json "d['tags']")" "['v1']"
    grep -q "^PUT /v2/torpor/signed/manifests/sha256:" proxy.log || fail "no referrer: $(<proxy.log)"
    works push --json --signature signed.torpor "docker://$registry/torpor/signed:v1"
    same "tags without the API" "$(curl -s "http://$registry/v2/torpor/signed/tags/list" | json "sorted(d['tags'])")" \
        "['${digest/:/-}', 'v1']"
}
try subject_is_noted "a registry that answers with OCI-Subject gets no fallback tag"

# Nothing of it is in the store: the signatures are looked at before its machine runs.
wakes_signed() { # REF
    refuses 121 'signed by key .*not trusted' resume -d --name woken --require-signature third.pub "docker://$1"
    same "machines" "$("$TORPOR" ps -q)" ""
    works gc
    works resume -d --name woken --require-signature key.pub "docker://$1"
    answers woken "check 4 12 7" "check ok"
    until_true has_arrived woken
    works kill woken
    # They are in the store then, as after a pull.
    works verify --key key.pub "$1"
    works verify --key other.pub "$1"
    works resume -d --name woken --require-signature key.pub "$1"
    works kill woken
}

signed_by_wire() {
    need docker-registry
    appliances
    sign_it
    works keygen --no-passphrase -p third.pub -s third.key
    start_registry
    works push full.torpor "docker://$registry/torpor/later:v1"
    elsewhere one
    refuses 121 'not signed' resume -d --require-signature key.pub "docker://$registry/torpor/later:v1"
    works push --signature signed.torpor "docker://$registry/torpor/later:v1"
    works push --signature other.torpor "docker://$registry/torpor/later:v1"
    elsewhere two
    mkdir hidden && mv full.torpor signed.torpor other.torpor increment.torpor hidden
    wakes_signed "$registry/torpor/later:v1"
    # By the API.
    start_server
    elsewhere three
    wakes_signed "$served/torpor/later:v1"
    # One that came to an image that is here already, under another name.
    mv hidden/* .
    works push full.torpor "docker://$registry/torpor/bare:v1"
    elsewhere four
    works pull "docker://$registry/torpor/bare:v1"
    refuses 121 'not signed' resume -d --require-signature key.pub "docker://$registry/torpor/bare:v1"
    works resume -d --name woken --require-signature key.pub "docker://$registry/torpor/later:v1"
    works kill woken
}
try signed_by_wire "resume --require-signature by wire sees signatures beside the image, by the tag and by the API"

# Which names the store has, and how large it is.
names() {
    works images --json
    json "[i['name'] for i in d]" <<<"$out"
}
stored_bytes() {
    du -sb "$XDG_DATA_HOME/torpor/oci/blobs" | cut -f 1
}

pulls_signed() {
    local repository=torpor/later
    need docker-registry
    appliances
    sign_it
    works keygen --no-passphrase -p third.pub -s third.key
    start_registry
    works push full.torpor "docker://$registry/$repository:v1"
    works push --signature signed.torpor "docker://$registry/$repository:v1"
    works push other.torpor "docker://$registry/torpor/inside:v1"
    works push increment.torpor "docker://$registry/torpor/increment:v1"
    elsewhere one
    # Nothing has a name, and of a file of 3 MiB little has come.
    refuses 121 'signed by key .*not trusted' pull --require-signature third.pub "docker://$registry/$repository:v1"
    same "names" "$(names)" "[]"
    [ "$(stored_bytes)" -lt 100000 ] || fail "$(stored_bytes) bytes came"
    refuses 121 'not signed' pull --require-signature key.pub "docker://$registry/torpor/increment:v1"
    refuses 121 'not signed' resume -d --wait-complete --require-signature key.pub "docker://$registry/torpor/increment:v1"
    refuses 121 'signed by' pull --require-signature key.pub "docker://$registry/torpor/inside:v1"
    same "names" "$(names)" "[]"
    # Beside the image, and in it.
    works pull --require-signature key.pub "docker://$registry/$repository:v1"
    works pull --require-signature other.pub "docker://$registry/torpor/inside:v1"
    works resume -d --name woken --require-signature key.pub "$registry/$repository:v1"
    works kill woken
    # A name that is there goes on standing for what it stood for.
    works push increment.torpor "docker://$registry/$repository:v1"
    refuses 121 'not signed' pull --require-signature key.pub "docker://$registry/$repository:v1"
    works verify --key key.pub "$registry/$repository:v1"
    # Every image of an index.
    works push --index signed.torpor "docker://$registry/torpor/index:v1"
    works pull --all-platforms --require-signature key.pub "docker://$registry/torpor/index:v1"
    refuses 121 'signed by' pull --all-platforms --require-signature other.pub "docker://$registry/torpor/index:v1"
    # By the API for referrers.
    start_server --store
    elsewhere two
    refuses 121 'signed by key .*not trusted' pull --require-signature third.pub "docker://$served/torpor/later:v1"
    refuses 122 'No such file' pull --require-signature nobody.pub "docker://$served/torpor/later:v1"
    works pull --require-signature key.pub "docker://$served/torpor/later:v1"
    same "names" "$(names)" "['$served/torpor/later:v1']"
}
try pulls_signed "pull --require-signature names nothing that the key has not signed, in the image or beside it"

# What an attacker puts there.
forged_signatures() {
    local digest
    need docker-registry curl
    appliances
    sign_it
    start_registry
    works push --json full.torpor "docker://$registry/torpor/full:v1"
    digest=$(json "d['digest']" <<<"$out")
    PORT=${registry#*:} DIGEST=$digest python3 - <<'PYTHON' || fail "no forgery"
import hashlib, http.client, json, os
digest, name = os.environ["DIGEST"], "/v2/torpor/full"
c = http.client.HTTPConnection("127.0.0.1", int(os.environ["PORT"]))

def ask(method, path, body=b"", kind="application/octet-stream"):
    c.request(method, path, body, {"Content-Type": kind})
    r = c.getresponse()
    r.read()
    assert r.status < 300, (method, path, r.status)
    return r

def blob(data):
    d = "sha256:" + hashlib.sha256(data).hexdigest()
    where = ask("POST", f"{name}/blobs/uploads/").headers["Location"]
    ask("PUT", where.split("127.0.0.1:" + os.environ["PORT"])[-1] + f"&digest={d}", data)
    return {"digest": d, "size": len(data)}

TYPE, MANIFEST = "application/vnd.torpor.signature.v1", "application/vnd.oci.image.manifest.v1+json"
empty = {"mediaType": "application/vnd.oci.empty.v1+json", **blob(b"{}")}
index = []
for text, subject in ((b"junk", digest), (b"x" * 100000, digest), (b"untrusted comment: x\nRW\n", digest),
                      (b"other", "sha256:" + "0" * 64)):
    m = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": TYPE, "config": empty,
                    "layers": [{"mediaType": TYPE, **blob(text)}],
                    "subject": {"mediaType": MANIFEST, "digest": subject, "size": 1}}).encode()
    d = "sha256:" + hashlib.sha256(m).hexdigest()
    ask("PUT", f"{name}/manifests/{d}", m, MANIFEST)
    index.append({"mediaType": MANIFEST, "digest": d, "size": len(m), "artifactType": TYPE})
index += [{"mediaType": MANIFEST, "digest": "../..", "size": 1, "artifactType": TYPE}, {"digest": 7}, 7]
# docker-registry checks what an index lists: so it is one of another kind.
open("index.json", "w").write(json.dumps({"schemaVersion": 2, "manifests": index}))
PYTHON
    start_proxy proxy "referrers=$PWD/index.json"
    elsewhere strict
    refuses 121 'not signed' pull --require-signature key.pub "docker://$proxy/torpor/full:v1"
    elsewhere
    works pull "docker://$proxy/torpor/full:v1"
    refuses 121 'not signed' resume --require-signature key.pub "$proxy/torpor/full:v1"
    wakes "$proxy/torpor/full:v1"
    elsewhere wire
    refuses 121 'not signed' resume --require-signature key.pub "docker://$proxy/torpor/full:v1"
}
try forged_signatures "what is no signature, too long, or of another image is not taken for one"
