# A reader that knows torpor(5) only, against this program: every field, every digest, all memory and disks.

READER=$interop/reader.py

reads() { # FILE [PARENT…]: its view in theirs.json, ours in ours.json and ls.json
    python3 "$READER" "$@" >theirs.json 2>err || fail "reader.py $*: $(<err)"
    works inspect --json "$1"
    printf %s "$out" >ours.json
    works ls --json "$1"
    printf %s "$out" >ls.json
}

agree() { # FILE
    python3 - "$1" <<'PY' || fail "they differ"
import json, sys
theirs, ours, ls = (json.load(open(f + ".json")) for f in ("theirs", "ours", "ls"))
def same(what, a, b):
    if a != b:
        sys.exit(f"{sys.argv[1]}: {what}: {a!r} to the reader, {b!r} to us")
same("identity", theirs["digest"], ours["digest"])
for member in theirs["appliance"].keys() | ours["appliance"].keys():
    same(member, theirs["appliance"].get(member), ours["appliance"].get(member))
same("blobs", theirs["entries"], {e["role"]: [e["type"], e["digest"], e["bytes"], e["offset"]] for e in ours["entries"]})
images = {e["role"]: e for e in ls["contents"] if "frames" in e}
same("images", sorted(theirs["images"]), sorted(images))
for role, image in theirs["images"].items():
    for fact in "encoding", "bytes", "frames":
        same(f"{fact} of {role}", image[fact], images[role][fact])
PY
}

agrees_on_fields() {
    local file
    need zstd
    variants
    for file in $FULL; do
        reads $file.torpor
        agree $file
    done
    reads increment.torpor packed.torpor
    agree increment
    works_silently build -o cold.torpor --kernel "$TINY"
    reads cold.torpor
    agree cold
    reads signed.torpor
    works verify --json --key key.pub signed.torpor
    same "the signer" "$(json "d['signer']['key'], d['signer']['comment']" <theirs.json)" \
        "$(json "d['signer']['key'], d['signer']['comment']" <<<"$out")"
    reads hot.torpor
    same "a hot set" "$(json "len(d['images']['memory.0']['hot']) > 0" <theirs.json)" True
}
try agrees_on_fields "a reader made from torpor(5) agrees on every field and digest"

agrees_on_bytes() {
    local file image
    need zstd
    variants
    works flatten increment.torpor -o whole.torpor
    for file in $FULL increment; do
        mkdir theirs ours
        python3 "$READER" -o theirs $file.torpor $([ $file != increment ] || echo packed.torpor) >facts 2>err ||
            fail "reader.py $file: $(<err)"
        works_silently extract -C ours "$([ $file != increment ] && echo $file || echo whole).torpor"
        for image in memory.0 disk.0; do
            cmp theirs/$image.raw ours/$image.raw || fail "$file: another $image"
        done
        rm -r theirs ours
    done
}
try agrees_on_bytes "… and on every byte of memory and disks, through an increment too"

reader_refuses() {
    variants
    python3 "$READER" -o . increment.torpor >facts 2>err && fail "an increment without its parent"
    grep -q "a parent is missing" err || fail "$(<err)"
    python3 "$READER" increment.torpor flat.torpor >facts || fail "flat is packed, in another encoding"
    python3 "$READER" increment.torpor increment.torpor >facts 2>err && fail "a file as its own parent"
    printf '\xa5' | dd of=flat.torpor bs=1 seek=300000 conv=notrunc status=none
    python3 "$READER" flat.torpor >facts 2>err && fail "a damaged file"
    grep -Eq "digest|zero" err || fail "$(<err)"
}
try reader_refuses "… and refuses a wrong parent, and damage"
