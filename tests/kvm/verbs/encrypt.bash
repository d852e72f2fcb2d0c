# Encryption: save, build, convert and flatten with a key; what opens with it, and what does without.

# A passphrase in pass, another in wrong, a key file in key, another in other.
make_keys() {
    echo "correct horse" >pass
    echo "battery staple" >wrong
    head -c 32 /dev/urandom >key
    head -c 32 /dev/urandom >other
}

identity() { # FILE
    "$TORPOR" inspect --json "$1" | json "d['digest']"
}

is_encrypted() { # FILE
    "$TORPOR" inspect --json "$1" | json "d['appliance'].get('encryption', {}).get('kdf')"
}

# encrypted.torpor, of a machine `source` that goes on.
make_encrypted() { # KEY OPTION…
    make_keys
    boot source
    nonce=$(say source nonce)
    answers source "fill 16 8 5" "filled 2048"
    works save -R source -o encrypted.torpor "$@"
}

save_encrypted() {
    make_encrypted --passphrase-file pass
    works_silently kill source
    same "how" "$(is_encrypted encrypted.torpor)" scrypt
    refuses 125 "the passphrase is wrong" resume -d encrypted.torpor --passphrase-file wrong
    refuses 125 "passphrase" resume -d encrypted.torpor --key-file key
    setsid "$TORPOR" resume -d encrypted.torpor </dev/null >"$SCRATCH/out" 2>"$SCRATCH/err" &&
        fail "it woke without a passphrase"
    one_line "no terminal to ask at: use --passphrase-file" || fail "$(<"$SCRATCH/err")"
    works ps -q
    same "machines" "$out" ""
    works resume -d encrypted.torpor --passphrase-file pass --fill none
    is_same_guest source
}
try save_encrypted "save --passphrase-file, resume: with it, with another, without a terminal"

nothing_on_stdin() {
    make_encrypted --passphrase-file pass
    refuses 125 "standard input, which --passphrase-file - reads: the passphrase is empty" \
        resume -d encrypted.torpor --passphrase-file -
}
try nothing_on_stdin "a passphrase that standard input does not have: says where it was looked for"

# What is encrypted with a key that is gone is lost.
keys_are_spared() {
    make_encrypted --key-file key
    cp key kept
    spares 125 save -R source -o key --encrypt --key-file key
    spares 125 build -o key --kernel "$TINY" --key-file key
    spares 125 convert encrypted.torpor key --key-file key
    spares 125 convert encrypted.torpor other --key-file key --new-key-file other
    spares 125 flatten encrypted.torpor -o key --key-file key
    spares 125 extract encrypted.torpor kernel -o key --key-file key
    spares 125 extract encrypted.torpor kernel -o encrypted.torpor --key-file key
    mkdir folder
    "$TORPOR" extract -C folder encrypted.torpor kernel --key-file key >/dev/null || fail "extract"
    ln -f key "folder/$(ls folder)"
    spares 125 extract -C folder encrypted.torpor kernel --key-file key
    cmp key kept || fail "the key is another"
}

spares() { # STATUS VERB ARGUMENT…
    local wanted=$1
    shift
    refuses "$wanted" "is read, and cannot be the file to write, too" "$@"
}
try keys_are_spared "a file with a key is never the file that is written"

key_files() {
    make_encrypted --key-file key
    works_silently kill source
    same "how" "$(is_encrypted encrypted.torpor)" key-file
    refuses 125 "the key file is the wrong one" resume -d encrypted.torpor --key-file other
    refuses 125 "encrypted with a key file" resume -d encrypted.torpor --passphrase-file pass
    head -c 31 key >short
    refuses 125 "short: a key file has 32 to 4096" resume -d encrypted.torpor --key-file short
    refuses 122 "missing" resume -d encrypted.torpor --key-file missing
    works resume -d encrypted.torpor --key-file key
    is_same_guest source
    works_silently kill source
    "$TORPOR" resume -d - --key-file key <encrypted.torpor >/dev/null || fail "not from a stream"
    is_same_guest source
}
try key_files "save --key-file, resume --key-file, also of standard input"

in_clear() {
    make_encrypted --key-file key
    works save -R source -o clear.torpor --decrypt --full
    same "how" "$(is_encrypted clear.torpor)" None
    grep -q READY clear.torpor || fail "the kernel, at least, should be readable"
    grep -q READY encrypted.torpor && fail "the kernel can be read"
    works resume -d --name clear clear.torpor
    is_same_guest clear
}
try in_clear "save --decrypt: what can be read there cannot be without the key"

stays_encrypted() {
    make_encrypted --key-file key
    works save -R source -o second.torpor --full
    same "how" "$(is_encrypted second.torpor)" key-file
    works save -R source -o third.torpor --parent second.torpor
    refuses 125 "its key|key file" resume -d third.torpor
    works resume -d third.torpor --key-file key
    is_same_guest source
    answers source "fill 40 2 9" "filled 512"
    works save source -o fourth.torpor --parent third.torpor
    same "how" "$(is_encrypted fourth.torpor)" key-file
    works resume -d fourth.torpor --key-file key
    is_same_guest source
    answers source "check 40 2 9" "check ok"
    refuses 125 "flat" save -R source -o flat.torpor --flat --full
    works save -R source -o flat.torpor --flat --full --decrypt
    refuses 125 "exclude" save -R source --encrypt --decrypt
    works_silently kill source
    works flatten fourth.torpor -o merged.torpor --key-file key
    same "how" "$(is_encrypted merged.torpor)" key-file
    works resume -d merged.torpor --key-file key
    is_same_guest source
    answers source "check 40 2 9" "check ok"
    "$TORPOR" save source -o - 2>/dev/null | cat >stream.torpor
    same "how, down a pipe" "$(is_encrypted stream.torpor)" key-file
    works resume -d stream.torpor --key-file key
    is_same_guest source
}
try stays_encrypted "what a machine from an encrypted file saves is encrypted, increments too; flatten"

with_new_key() {
    make_encrypted --key-file key
    works save -R source -o again.torpor --full --passphrase-file pass
    same "how" "$(is_encrypted again.torpor)" scrypt
    works save -R source -o increment.torpor --parent again.torpor
    works_silently kill source
    works resume -d increment.torpor --passphrase-file pass
    is_same_guest source
}
try with_new_key "a machine that is given another key uses that, and increments of it, too"

looking() {
    make_encrypted --key-file key
    works_silently kill source
    works inspect encrypted.torpor
    matches "inspect" "$out" "encrypted   yes, with a key file"
    works ls encrypted.torpor
    matches "ls" "$out" "memory.0 +packed"
    works tree encrypted.torpor
    works verify encrypted.torpor
    works verify --key-file key encrypted.torpor
    refuses 125 "the key file is the wrong one" verify --key-file other encrypted.torpor
    call compat encrypted.torpor
    [ "$status" = 0 ] || fail "$(report_call compat)"
    refuses 125 "encrypted, and a hot set" warm encrypted.torpor
}
try looking "inspect, ls, tree, verify and compat need no key; warm is refused"

# A encrypted part is a file that zstd can walk through: one skippable frame each, and the seek table.
for_zstd() {
    local digest frames
    command -v zstd >/dev/null || skip "zstd is not installed"
    make_encrypted --key-file key
    works ls --json encrypted.torpor
    frames=$(json "[i['frames']['data'] for i in d['contents'] if i['role'] == 'memory.0'][0]" <<<"$out")
    works inspect --json encrypted.torpor
    digest=$(json "[e['digest'] for e in d['entries'] if e['role'] == 'memory.0.0'][0]" <<<"$out")
    tar xOf encrypted.torpor "blobs/sha256/${digest#sha256:}" >part.zst
    matches "zstd -lv" "$(zstd -lv part.zst 2>/dev/null)" "# Skippable Frames: $((frames + 1))"
    same "what zstd -d makes of it" "$(zstd -dc part.zst | wc -c)" 0
}
try for_zstd "zstd finds as many frames in a encrypted part as there are"

converting() {
    local before
    make_encrypted --key-file key
    works save source -o clear.torpor --full --decrypt
    before=$(identity encrypted.torpor)
    works convert encrypted.torpor copy.torpor
    same "identity of a copy" "$(identity copy.torpor)" "$before"
    refuses 125 "key file" convert --packed=9 encrypted.torpor harder.torpor
    works convert --packed=9 --key-file key encrypted.torpor harder.torpor
    same "identity, packed anew" "$(identity harder.torpor)" "$before"
    refuses 125 "cannot be flat" convert --flat encrypted.torpor flat.torpor
    refuses 125 "already" convert --encrypt --key-file key encrypted.torpor x.torpor
    refuses 125 "already" convert --decrypt clear.torpor x.torpor
    works convert --decrypt --key-file key harder.torpor open.torpor
    head -c 32 /dev/urandom > key2
    works convert --key-file key --new-key-file key2 encrypted.torpor rekeyed.torpor
    refuses 125 "key" extract -o x --key-file key rekeyed.torpor memory.0
    works extract -o x --key-file key2 rekeyed.torpor memory.0
    works convert --key-file key2 --new-passphrase-file pass rekeyed.torpor rekeyed.torpor
    works extract -o y --passphrase-file pass rekeyed.torpor memory.0
    cmp x y || fail "other frames with another key"
    refuses 125 "in clear already" convert --new-key-file key clear.torpor x.torpor
    refuses 125 "exclude" convert --decrypt --new-key-file key encrypted.torpor x.torpor
    refuses 125 "packed" convert --flat --key-file key --new-key-file key2 encrypted.torpor x.torpor
    works convert --encrypt --passphrase-file pass open.torpor closed.torpor
    [ "$(identity open.torpor)" != "$before" ] || fail "in clear it is the same appliance"
    works extract -o one encrypted.torpor memory.0 --key-file key
    works extract -o two open.torpor memory.0
    works extract -o three closed.torpor memory.0 --passphrase-file pass
    cmp one two && cmp one three || fail "other frames"
    refuses 125 "key" extract -o four encrypted.torpor memory.0 --passphrase-file pass
    works resume -d closed.torpor --passphrase-file pass
    is_same_guest source
}
# Nobody who gives a key gets cleartext without a word.
unused_keys() {
    echo "open sesame" > pass
    head -c 32 /dev/urandom > key
    make_live clear.torpor
    works_silently build -o cold.torpor --kernel "$TINY" -m 64M
    refuses 125 "not used" convert --key-file key clear.torpor x.torpor
    refuses 125 "not used" convert --packed=9 --passphrase-file pass clear.torpor x.torpor
    refuses 125 "not used" flatten --key-file key -o x.torpor clear.torpor
    refuses 125 "not used" flatten --passphrase-file pass -o x.torpor clear.torpor
    refuses 125 "not used" extract --key-file key clear.torpor kernel
    refuses 125 "not used" verify --key-file key clear.torpor
    refuses 125 "not used" run --key-file key cold.torpor
    refuses 125 "not used" run --key-file key --kernel "$TINY"
    refuses 125 "not used" resume --passphrase-file pass clear.torpor
    works convert --encrypt --key-file key clear.torpor closed.torpor
    refuses 125 "not used" extract --key-file key --passphrase-file pass closed.torpor kernel
    works keygen -s k.key -p k.pub --no-passphrase
    refuses 125 "not used" sign -s k.key --passphrase-file pass clear.torpor
    [ ! -e x.torpor ] || fail "something was written"
    [ ! -e kernel ] || fail "something was extracted"
}
try unused_keys "a key that is not used is an error, in every verb that takes one"

try converting "convert: copies, packs anew, --decrypt and --encrypt; extract"

cold() {
    make_keys
    head -c 200000 /dev/urandom >disk.img
    truncate -s 1M disk.img
    works_silently build -o cold.torpor --kernel "$TINY" -m 64M --disk disk.img --encrypt --key-file key
    refuses 125 "key file" run -d --name c cold.torpor
    works run -d --name c cold.torpor --key-file key
    until_true is_ready c
    works extract -o disk.out cold.torpor disk.0 --key-file key
    cmp disk.img disk.out || fail "another disk"
    works save c -o live.torpor
    same "how" "$(is_encrypted live.torpor)" key-file
}
try cold "build --encrypt, run, and what it saves is encrypted"

# A bit is turned in each of the payloads; digests are made to agree again.
tampering() {
    make_encrypted --key-file key
    works_silently kill source
    python3 - <<'PYTHON' || exit 1
import hashlib, json, os, subprocess
def load(digest): return open("folder/blobs/sha256/" + digest[7:], "rb").read()
def store(data):
    name = hashlib.sha256(data).hexdigest()
    open("folder/blobs/sha256/" + name, "wb").write(data)
    return {"digest": "sha256:" + name, "size": len(data)}
os.mkdir("folder")
subprocess.run(["tar", "xf", "encrypted.torpor", "-C", "folder"], check=True)
index = json.load(open("folder/index.json"))
manifest = json.loads(load(index["manifests"][0]["digest"]))
for layer in manifest["layers"]:
    if layer["annotations"]["org.torpor.role"] == "memory.0.0":
        data = bytearray(load(layer["digest"]))
        data[30] ^= 1
        layer.update(store(bytes(data)))
index["manifests"][0].update(store(json.dumps(manifest).encode()))
json.dump(index, open("folder/index.json", "w"))
PYTHON
    works verify folder
    call verify --key-file key folder
    [ "$status" = 121 ] && grep -q "not what was encrypted" "$SCRATCH/out" "$SCRATCH/err" ||
        fail "$(report_call verify)"
}
try tampering "a frame that somebody changed is noticed by who has the key"

at_terminal() {
    make_keys
    boot source
    nonce=$(say source nonce)
    same "two that differ" "$(type_at horse1 staple2 -- "$TORPOR" save -R source --encrypt -o x.torpor)" "125 0 False"
    same "twice the same" "$(type_at horse1 horse1 -- "$TORPOR" save source --encrypt -o x.torpor)" "0 0 False"
    same "how" "$(is_encrypted x.torpor)" scrypt
    same "resume" "$(type_at horse1 -- "$TORPOR" resume -d x.torpor)" "0 0 False"
    answers source nonce "$nonce"
    same "wrong" "$(type_at staple2 -- "$TORPOR" extract -o memory x.torpor memory.0)" "125 0 False"
    grep -q "the passphrase is wrong" "$SCRATCH/typed" || fail "$(<"$SCRATCH/typed")"
    same "extract" "$(type_at horse1 -- "$TORPOR" extract -o memory x.torpor memory.0)" "0 0 False"
    [ -s memory ] || fail "$(<"$SCRATCH/typed")"
}
try at_terminal "passphrases are asked for at the terminal: twice when new, and behind the filter"

# At a terminal, once; never beside JSON.
told_once() {
    boot source
    works save -R source -o a.torpor
    type_at -- "$TORPOR" save -R source --json -o a.torpor
    grep -q "all of the guest's memory" "$SCRATCH/typed" && fail "told beside JSON"
    type_at -- "$TORPOR" save -R source -o b.torpor
    grep -q "all of the guest's memory" "$SCRATCH/typed" || fail "not told: $(<"$SCRATCH/typed")"
    type_at -- "$TORPOR" save -R source -o c.torpor
    grep -q "all of the guest's memory" "$SCRATCH/typed" && fail "told twice"
    return 0
}
try told_once "that a file holds all of the memory is said once, at a terminal"
