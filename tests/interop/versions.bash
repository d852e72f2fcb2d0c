# Files of other versions and for other hosts: what is read, what is refused, and by which name.

change() { # PYTHON over config `c`, manifest `m`, `files`: packed.torpor to changed.torpor, digests made good
    python3 "$interop/../corrupt/damage.py" edit packed.torpor changed.torpor "$1" || fail "cannot change: $1"
}

newer_minor() {
    variants
    change 'c["format"] = "1.9"
for o in c, c["live"], c["needs"], c["cpu"], c["disks"][0]: o["of-tomorrow"] = {"x": 1}'
    works verify changed.torpor
    works inspect changed.torpor
    wakes changed.torpor
    change 'c["of-tomorrow"] = 1'
    refuses 121 '"of-tomorrow" is unknown' resume -d changed.torpor
    change 'c["annotations"] = {"note": [1, "of a person"]}'
    wakes changed.torpor
}
try newer_minor "a newer minor version is read, a member unknown to this one is not"

console_ports() {
    variants
    works inspect packed.torpor
    change 'assert c.pop("ports") == ["org.torpor.exec.0"]'
    works verify changed.torpor
    refuses 120 'state: device console: virtio\.nqueues is 8, the machine has 6' resume -d changed.torpor
    change 'c["ports"] = ["org.torpor.exec.1"]'
    refuses 121 'console ports other than org\.torpor\.exec\.0' resume -d changed.torpor
    change 'c["format"] = "1.1"'
    refuses 121 'ports in format 1\.1, which has none' resume -d changed.torpor
}
try console_ports "a file says which console ports its machine has, and a machine without them is not that one"

newer_major() {
    local verb
    variants
    change 'c["format"] = "3.3"'
    for verb in inspect verify compat "resume -d" ls; do
        # shellcheck disable=SC2086
        refuses 120 'made by a newer torpor \(format 3\.3\); this one reads 1\.x and 2\.x' $verb changed.torpor
    done
    change 'm["config"]["mediaType"] = "application/vnd.torpor.config.v2+json"'
    refuses 120 'made by a newer torpor \(format 2\); this one reads 1\.x' resume -d changed.torpor
    change 'd = [l for l in m["layers"] if l["annotations"]["org.torpor.role"] == "memory.0.map"][0]
import hashlib
blob = bytearray(files[old := "blobs/" + d["digest"].replace(":", "/")])
blob[8] = 2
d["digest"] = "sha256:" + hashlib.sha256(blob).hexdigest()
files["blobs/" + d["digest"].replace(":", "/")] = bytes(blob)
c["contents"]["memory.0.map"] = d["digest"]'
    refuses 120 'memory\.0: extent map: version 2, this torpor reads 1' resume -d changed.torpor
}
try newer_major "a newer major version is refused by its number"

# An unknown layer; `optional` puts the annotation.
add_layer() { # ANNOTATIONS
    change 'import hashlib
data = b"of tomorrow"
digest = hashlib.sha256(data).hexdigest()
files["blobs/sha256/" + digest] = data
m["layers"].append({"mediaType": "application/vnd.torpor.dream.v1", "digest": "sha256:" + digest, "size": len(data),
                    "annotations": {"org.torpor.role": "dream"'"$1"'}})'
}

unknown_blobs() {
    local file
    variants
    add_layer ''
    refuses 120 'dream is of type application/vnd.torpor.dream.v1, which this torpor does not know' resume -d changed.torpor
    add_layer ', "org.torpor.optional": "perhaps"'
    refuses 121 'org.torpor.optional is not "true"' inspect changed.torpor
    add_layer ', "org.torpor.optional": "true"'
    same "its identity" "$(identity changed.torpor)" "$(identity packed.torpor)"
    wakes changed.torpor
    works convert --flat changed.torpor flattened.torpor
    works sign changed.torpor -s "$(works keygen --no-passphrase -p p -s s; echo s)" -o encrypted.torpor
    works warm --for 1 changed.torpor -o warmed.torpor
    for file in flattened encrypted warmed; do
        works inspect --json $file.torpor
        same "the blob in $file" "$(json "[(e['type'], e['bytes']) for e in d['entries'] if e['role'] == 'dream']" <<<"$out")" \
            "[('application/vnd.torpor.dream.v1', 11)]"
        wakes $file.torpor
    done
}
try unknown_blobs "unknown blobs: optional ones are kept by convert, sign and warm, others refused"

other_hosts() {
    variants
    change 'n = c["needs"]
n["page_size"] = 16384
n["msrs"].append(0xdeadbeef)
n["capabilities"] = sorted(n["capabilities"] + ["KVM_CAP_OF_TOMORROW"])
c["cpu"]["words"].append([7, 0, 1, 1 << 31])'
    # All of it, at once.
    local lacks="this host's CPU lacks avx512vl: this host lacks pages of 16384 bytes \(it has 4096\), KVM_CAP_OF_TOMORROW, MSR 0xdeadbeef"
    refuses 120 "$lacks" compat changed.torpor
    refuses 120 "$lacks" resume -d changed.torpor
    call compat --json changed.torpor
    same "compat --json" "$status $(json "d['compatible']" <"$SCRATCH/out")" "120 False"
    change 'c["machine"] = "torpor-2"'
    refuses 120 "machine type torpor-2 is unknown to this version" compat changed.torpor
    change 'c["arch"] = "sparc"'
    refuses 120 "it is for sparc" compat changed.torpor
    change 'c["cpu"]["vendor"] = "CyrixInstead"'
    refuses 120 "saved on a CPU of CyrixInstead" resume -d changed.torpor
    change 'del c["needs"]'
    refuses 121 '"needs" is missing' resume -d changed.torpor
    works ps -q
    same "machines" "$out" ""
}
try other_hosts "what this host lacks is named, all of it, by compat and resume"
