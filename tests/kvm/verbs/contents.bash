# What is in a file, seen and taken out without KVM: ls, extract; and that readers are guarded.

tell() { # FILE EXPRESSION over the contents `c`, a dict by role
    works ls --json "$1"
    python3 -c "import json, sys; d = json.load(sys.stdin); c = {e['role']: e for e in d['contents']}; print($2)" <<<"$out"
}

make_both() { # flat.torpor and packed.torpor of one machine that wrote to its disk
    truncate -s 1000K disk.img
    printf 'at the end' | dd of=disk.img bs=1 seek=1023900 conv=notrunc status=none
    boot source --disk disk.img,id=root
    answers source "fill 16 8 5" "filled 2048"
    answers source "dwrite 0 128 64 7" "dwrite ok"
    works pause source
    works save -R --flat source -o flat.torpor
    works save source -o packed.torpor
}

lists() {
    local file
    make_both
    works ls packed.torpor
    matches ls "$out" $'^ROLE +ENCODING +BYTES +STORED +DATA +ZERO +PARENT +DIGEST\n'
    matches ls "$out" $'\nmemory\.0 +packed +67108864 +[0-9]+ +[0-9]+ +[0-9]+ +0 +sha256:'
    matches ls "$out" $'\nkernel +kernel +[0-9]+ +[0-9]+ +- +- +- +sha256:'
    for file in flat packed; do
        same "frames of memory in $file" "$(tell $file.torpor "sum(c['memory.0']['frames'].values())")" 1024
        same "sizes in $file" "$(tell $file.torpor "c['disk.0']['bytes'], c['memory.0']['encoding']")" "1024000 $file"
        same "the overlay in $file" \
            "$(tell $file.torpor "c['disk.0.overlay']['frames']['parent'] > 0, c['disk.0.overlay']['frames']['data'] > 0")" "True True"
    done
    same "digests" "$(tell flat.torpor "c['memory.0']['digest'], c['disk.0']['digest'], d['digest'] != ''")" \
        "$(tell packed.torpor "c['memory.0']['digest'], c['disk.0']['digest'], d['digest'] != ''")"
    [ "$(tell packed.torpor "c['memory.0']['stored']")" -lt "$(tell flat.torpor "c['memory.0']['stored']")" ] || fail "packed is not smaller"
    refuses 125 "FILE or NAME is missing" ls
    refuses 122 "No such file" ls nothing.torpor
    refuses 121 "tar" ls disk.img
}
try lists "ls, --json: roles, encodings, frames of data, zeros and the parent's"

extracts() {
    local file name
    make_both
    for file in flat packed; do
        mkdir $file
        works_silently extract -C $file $file.torpor
        same "files" "$(cd $file && echo *)" "config.json disk.0.raw kernel memory.0.raw state"
        cmp $file/kernel "$TINY" || fail "another kernel"
        json "d['disks'][0]['id']" <$file/config.json >id && same "the config" "$(<id)" root
        same "disk" "$(stat -c %s $file/disk.0.raw)" 1024000
        same "its end" "$(tail -c 100 $file/disk.0.raw | head -c 10)" "at the end"
        cmp -s $file/disk.0.raw disk.img && fail "the disk lacks what was written"
        same "memory" "$(stat -c %s $file/memory.0.raw)" 67108864
    done
    for name in disk.0.raw memory.0.raw kernel; do
        cmp flat/$name packed/$name || fail "flat and packed differ"
    done
    for name in flat packed; do
        [ "$(stat -c %b $name/memory.0.raw)" -lt $((67108864 / 512 / 2)) ] || fail "$name: not sparse"
    done
    works_silently extract flat.torpor -o one memory.0
    cmp one flat/memory.0.raw || fail "-o: another memory"
    "$TORPOR" extract packed.torpor -o - disk.0 | cmp - flat/disk.0.raw || fail "-o -"
}
try extracts "extract, -C, -o, -o -, holes: flat and packed give the same bytes"

extracts_increment() {
    make_live base.torpor
    works resume -d --name inc base.torpor
    answers inc "fill 40 2 9" "filled 512"
    works save inc -o top.torpor --parent base.torpor
    works flatten top.torpor -o whole.torpor
    mkdir chain whole
    works_silently extract -C chain top.torpor
    works_silently extract -C whole whole.torpor
    same "files" "$(cd chain && echo *)" "config.json kernel memory.0.raw state"
    cmp chain/memory.0.raw whole/memory.0.raw || fail "another memory"
    cmp chain/kernel "$TINY" || fail "another kernel"
}
try extracts_increment "extract: an increment comes as it is with its parents"

extract_refusals() {
    local size at
    make_live a.torpor
    refuses 122 "has no initrd" extract a.torpor initrd
    refuses 122 "has no ../../x" extract a.torpor ../../x
    refuses 122 "has no memory.0.map" extract a.torpor memory.0.map
    refuses 125 "exactly one" extract a.torpor -o x
    refuses 125 "exactly one" extract a.torpor -o x kernel state
    refuses 125 "exclude" extract a.torpor -C . -C / -o x kernel
    refuses 125 "FILE or NAME is missing" extract
    refuses 122 "No such file" extract a.torpor -C nowhere
    # Inside a packed frame.
    size=$(tell a.torpor "c['memory.0']['stored']")
    [ "$size" -gt 10000 ] || fail "little memory: $size"
    works inspect --json a.torpor
    at=$(json "[e['offset'] + 1000 for e in d['entries'] if e['role'] == 'memory.0.0'][0]" <<<"$out")
    printf '\xa5\x5a\xa5' | dd of=a.torpor bs=1 seek="$at" conv=notrunc status=none
    refuses 121 "memory.0" extract a.torpor memory.0
    [ ! -e memory.0.raw ] || fail "a damaged memory was written"
}
try extract_refusals "extract refuses what is not there, and what is damaged"

seccomp_of() { # of a process, from /proc: 2 is a filter
    sed -n 's/^Seccomp:\t//p' "/proc/$1/status"
}

guarded() {
    local pid verb status
    make_live a.torpor
    works resume -d --name woken a.torpor
    pid=$(<"$XDG_RUNTIME_DIR/torpor/woken/pid")
    same "seccomp of a woken machine" "$(seccomp_of "$pid")" 2
    same "no new privileges" "$(sed -n 's/^NoNewPrivs:\t//p' "/proc/$pid/status")" 1
    command -v strace >/dev/null || return 0
    mkdir x
    for verb in ls inspect verify compat 'extract -C x' resume; do
        # shellcheck disable=SC2086
        timeout -k 1 "$PATIENCE" strace -o trace "$TORPOR" $verb a.torpor </dev/null >/dev/null 2>&1 &
        pid=$!
        [ "$verb" != resume ] || until_true "$TORPOR" kill source
        wait $pid
        status=$?
        [ $status = 0 ] || [ "$verb" = resume ] || fail "$verb: status $status"
        # The filter is in place before the file is open.
        awk '/^seccomp\(SECCOMP_SET_MODE_FILTER.* = 0/ { guarded = 1 }
            /openat\(.*"a\.torpor"/ { exit !guarded }' trace || fail "$verb opens the file unguarded"
        grep -q '"a\.torpor"' trace || fail "$verb: no trace of the file"
    done
}
try guarded "every verb that reads a file has given up the rest before it opens it"

# FILE is as it was, nobody's file is overwritten, and nothing is left.
warm_interrupted() {
    local before
    make_live w.torpor
    before=$(sha256sum w.torpor)
    echo mine > w.torpor.flat.torpor
    "$TORPOR" warm --for 600 w.torpor > warm.out 2>&1 &
    until_true is_warming || fail "it does not warm: $(cat warm.out)"
    kill -TERM $!
    wait $!
    same "status" $? 125
    grep -q "interrupted" warm.out || fail "it says: $(cat warm.out)"
    same "the file" "$(sha256sum w.torpor)" "$before"
    works warm --for 1 w.torpor
    same "a file of somebody" "$(cat w.torpor.flat.torpor)" mine
    same "what is left" "$(find . -name '*warm*' ! -name warm.out)" ""
}

warm_elsewhere() {
    local before
    make_live w.torpor
    before=$(sha256sum w.torpor)
    works warm --for 1 --output out.torpor w.torpor
    same "files" "$(ls -A)" $'out.torpor\nw.torpor'
    same "the file" "$(sha256sum w.torpor)" "$before"
    works verify out.torpor
    same "what is left of the clone" "$("$TORPOR" ps -aq | grep -c warm)" 0
    refuses 122 "no file, saved machine or image is named nobody" warm -o none.torpor nobody
    same "files" "$(ls -A)" $'out.torpor\nw.torpor'
}
try warm_elsewhere "warm --output OUT writes no file but OUT"

is_warming() { "$TORPOR" ps | grep -q "^warm"; }
try warm_interrupted "warm that is interrupted leaves the file as it was"
