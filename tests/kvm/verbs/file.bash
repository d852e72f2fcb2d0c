# The file: build, inspect, verify, compat, and what other people's tools do to it.

build_all() {
    truncate -s 1M disk.img
    printf 'initial' >initrd
    works_silently build --output full.torpor --kernel "$TINY" --initrd initrd --append "a b=c" \
        --disk disk.img,ro,id=root -m 1G -c 3 --cpu v2 --console hvc0 --mac 02:00:00:00:00:09 --mtu 1400 --queues 2
    works inspect full.torpor
    matches inspect "$out" $'memory +1024 MiB\nvCPUs +3\nCPU +v2\nconsole +hvc0\ncmdline +a b=c\ndisk +root, 1 MiB, read-only\nnetwork +02:00:00:00:00:09, MTU 1400, 2 pairs of queues\nencrypted +no\nlive +no\n'
    works inspect full.torpor --json
    same "inspect --json" "$(json "d['aligned'], sorted(e['role'] for e in d['entries'] if '.' not in e['role'])" <<<"$out")" \
        "True ['config', 'initrd', 'kernel', 'manifest']"
    works verify full.torpor
    matches verify "$out" '^full\.torpor: ok, [0-9]+ blobs, 0 frames$'
    refuses 125 "-o" build --kernel "$TINY"
    refuses 125 "--kernel" build -o none.torpor
    [ ! -e none.torpor ] || fail "a file was left"
}
try build_all "build with every flag; inspect and verify show it"

reproducible() {
    works_silently build -o one.torpor --kernel "$TINY"
    works_silently build -o two.torpor --kernel "$TINY"
    cmp one.torpor two.torpor || fail "the same appliance is not the same bytes"
}
try reproducible "the same build twice gives the same bytes"

inspect_machine() {
    boot i -m 32M
    works inspect i
    matches inspect "$out" $'^name +i\nstate +running\nprocess +[0-9]+\nmachine +torpor-1, x86_64\nmemory +32 MiB\n'
    works inspect --json i
    same "inspect --json" "$(json "d['name'], d['vcpus'], d['appliance']['machine']" <<<"$out")" "i 1 torpor-1"
    refuses 122 "nobody" inspect nobody
}
try inspect_machine "inspect NAME, --json"

inspect_live() {
    make_live l.torpor
    works inspect l.torpor
    matches inspect "$out" $'\nlive +yes, source, saved 20'
    works verify l.torpor --json
    same "verify --json" "$(json "d['ok'], d['findings'], d['frames'] > 128" <<<"$out")" "True [] True"
    works compat l.torpor
    matches compat "$out" 'this host can run it$'
    works compat --json l.torpor
    same "compat --json" "$(json "d['compatible'], d['reason']" <<<"$out")" "True "
    works_silently build -o cold.torpor --kernel "$TINY"
    works compat cold.torpor
}
try inspect_live "inspect, verify, compat of a live file, and their --json"

listings() {
    make_live t.torpor
    tar tf t.torpor >gnu || fail "tar"
    bsdtar tf t.torpor >bsd || fail "bsdtar"
    python3 -c 'import tarfile; print("\n".join(m.name for m in tarfile.open("t.torpor")))' >python || fail "python"
    cmp gnu bsd && cmp gnu python || fail "they list different members"
    grep -qx oci-layout gnu && grep -qx index.json gnu || fail "no OCI layout: $(cat gnu)"
    mkdir x && tar xf t.torpor -C x || fail "tar x"
    (cd x/blobs/sha256 && for f in *; do echo "$f  $f"; done | sha256sum -c --quiet) || fail "a blob's name is not its digest"
}
try listings "tar, bsdtar and Python list the same members; every blob's name is its SHA-256"

# Other tools know nothing of alignment, and hit it by chance only. One line says so where memory is not on
# a page boundary and cannot be mapped; the guest wakes all the same.
wakes_repacked() { # NAME PATH
    local aligned
    works inspect --json "$2"
    aligned=$(json "all(e['offset'] % 4096 == 0 for e in d['entries'] if e['role'] == 'memory.0.0')" <<<"$out")
    call resume -d --name "$1" "$2"
    [ "$status" = 0 ] && [ "$(<"$SCRATCH/out")" = "$1" ] || fail "$(report_call resume "$2")"
    if [ "$aligned" = True ]; then
        same "standard error" "$(<"$SCRATCH/err")" ""
    else
        one_line "align" || fail "$(report_call resume "$2")"
    fi
    is_same_guest "$1"
}

copies() {
    local i
    make_live --flat c.torpor
    cp --sparse=always c.torpor sparse.torpor
    cp --sparse=never c.torpor full.torpor
    cat c.torpor | dd of=piped.torpor bs=1000 status=none
    mkdir -p x && tar xf c.torpor -C x && tar cf retarred.torpor -C x oci-layout index.json blobs
    for i in sparse full piped; do
        works verify $i.torpor
        works resume -d --name $i $i.torpor
        is_same_guest $i
    done
    works verify retarred.torpor
    wakes_repacked retarred retarred.torpor
}
try copies "copies wake: by cp --sparse, by a pipe, packed again by tar"

skopeo_trip() {
    command -v skopeo >/dev/null || skip "skopeo is not installed"
    make_live --flat a.torpor
    skopeo --insecure-policy copy -q oci-archive:a.torpor oci:folder:tag || fail "to an oci: folder"
    skopeo --insecure-policy copy -q oci:folder:tag oci-archive:back.torpor || fail "back"
    works verify a.torpor
    works verify folder
    works verify back.torpor
    same "the digest" "$(json "d['digest']" < <("$TORPOR" inspect --json back.torpor))" \
        "$(json "d['digest']" < <("$TORPOR" inspect --json a.torpor))"
    wakes_repacked back back.torpor
    wakes_repacked folder folder
    works save back -o again.torpor
    works inspect --json again.torpor
    same "alignment of what is saved from it" "$(json "d['aligned']" <<<"$out")" True
}
try skopeo_trip "to an oci: folder and back by skopeo: verifies, wakes (saying so in a line), also from the folder"

# What is given instead of a kernel, a disk or an appliance is said, and nothing waits for a pipe.
foreign() {
    printf 'QFI\373' > disk.qcow2
    truncate -s 1M disk.qcow2
    head -c 4096 /dev/zero | gzip > disk.raw.gz
    truncate -s 1024 disk.raw.gz
    echo "not an appliance" > text
    mkfifo pipe
    truncate -s 1M disk.raw
    refuses 125 "qcow2" build -o x.torpor --kernel "$TINY" --disk disk.qcow2
    refuses 125 "gzip -d" build -o x.torpor --kernel "$TINY" --disk disk.raw.gz
    refuses 125 "not a file" build -o x.torpor --kernel "$TINY" --disk pipe
    refuses 125 "not a file" build -o x.torpor --kernel pipe
    refuses 125 "no suffix" build -o x.torpor --kernel "$TINY" --disk disk.raw,readonly
    refuses 121 "text file" ls text
    refuses 121 "qcow2" inspect ./disk.qcow2
    refuses 121 "not a torpor file" verify ./pipe
    works_silently build -o x.torpor --kernel "$TINY" -m 0.0625GiB --disk disk.raw
}
try foreign "qcow2, gzip, text and FIFOs as kernel, disk or appliance are refused by name"

store_names() {
    boot web --rm
    works save web
    for verb in ls inspect verify; do
        works $verb web
    done
    works convert web copy.torpor
    works flatten -o flat.torpor web
    works_silently extract -o kernel web kernel
    cmp kernel "$TINY" || fail "another kernel"
    refuses 122 "no file, saved machine or image is named nobody" ls nobody
}
try store_names "names of the store are FILE to the verbs that read one"
