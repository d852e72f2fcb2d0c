# Files made from files: convert, flatten, tree.

identity() { # FILE
    "$TORPOR" inspect --json "$1" | json "d['digest']"
}

encoding() { # FILE
    "$TORPOR" ls --json "$1" | json "[c['encoding'] for c in d['contents'] if c['role'] == 'memory.0'][0]"
}

# What the memory and disks of a file are, however it holds them.
images_of() { # FILE
    "$TORPOR" inspect --json "$1" |
        json "sorted((r, v) for r, v in d['appliance']['contents'].items() if r != 'state')"
}

converts() {
    local id
    make_live --flat a.torpor
    id=$(identity a.torpor)
    works convert --packed a.torpor b.torpor
    matches convert "$out" "^b\.torpor: [0-9.]+ MiB, $id$"
    same "the identity" "$(identity b.torpor)" "$id"
    same "the encoding" "$(encoding b.torpor)" packed
    works verify b.torpor
    works convert --flat --json b.torpor c.torpor
    same "convert --json" "$(json "d['file'], d['digest']" <<<"$out")" "c.torpor $id"
    cmp a.torpor c.torpor || fail "there and back it is not the same file"
    works convert --packed=19 b.torpor d.torpor
    [ "$(stat -c %s d.torpor)" -lt "$(stat -c %s b.torpor)" ] || fail "level 19 is not smaller"
    same "the identity at level 19" "$(identity d.torpor)" "$id"
    works convert --flat d.torpor d.torpor
    cmp a.torpor d.torpor || fail "replaced by itself it is not the same file"
    works resume -d --name b b.torpor
    is_same_guest b
}
try converts "convert: flat, packed, at a level, onto itself: one identity, one guest"

convert_keeps() {
    make_live a.torpor
    mkdir x && tar xf a.torpor -C x && tar cf again.torpor -C x oci-layout index.json blobs
    works convert again.torpor b.torpor
    cmp a.torpor b.torpor || fail "what tar has packed again is not put right"
    works convert oci:x c.torpor
    cmp a.torpor c.torpor || fail "a folder becomes another file"
    works convert --drop-hot a.torpor d.torpor
    cmp a.torpor d.torpor || fail "there was a hot set to drop"
}
try convert_keeps "convert without an encoding: aligned again, or a file of a folder"

convert_refuses() {
    make_live a.torpor
    refuses 125 "exclude" convert --flat --packed a.torpor b.torpor
    refuses 125 "--packed" convert --packed=20 a.torpor b.torpor
    refuses 125 "FILE or NAME is missing" convert
    refuses 125 "OUT is missing" convert a.torpor
    refuses 125 "operand" convert a.torpor b.torpor c.torpor
    refuses 122 "none.torpor" convert none.torpor b.torpor
    refuses 121 "tar" convert "$TINY" b.torpor
    printf X | dd of=a.torpor bs=1 seek=300000 conv=notrunc status=none
    refuses 121 "a.torpor: .*(differs|damaged|zstd)" convert --flat a.torpor b.torpor
    refuses 121 "a.torpor: " convert --packed a.torpor a.torpor
    [ ! -e b.torpor ] || fail "a file was left"
}
try convert_refuses "convert refuses wrong words, and what is damaged"

# c0.torpor is full, and DEPTH increments stand on it. Where the last one was saved, full.torpor was, too.
make_chain() { # DEPTH
    local i
    truncate -s 1M disk.img
    boot c -m 32M --disk disk.img
    nonce=$(say c nonce)
    works save -R --full c -o c0.torpor
    for ((i = 1; i <= $1; i++)); do
        answers c "fill $((8 + i % 8)) 1 $i" "filled 256"
        answers c "dwrite 0 $((i * 16)) 8 $i" "dwrite ok"
        [ "$i" != "$1" ] || works pause c
        works save -R --parent "c$((i - 1)).torpor" c -o "c$i.torpor"
    done
    works save --full c -o full.torpor
}

flattens() {
    make_chain 3
    works flatten c3.torpor -o f.torpor
    matches flatten "$out" "^f\.torpor: [0-9.]+ MiB, $(identity f.torpor)$"
    works verify f.torpor
    same "what is in it" "$(images_of f.torpor)" "$(images_of full.torpor)"
    same "JSON" "$("$TORPOR" inspect --json f.torpor | json "d['appliance']['live']['increment'], d['appliance']['live']['generation']")" "False 4"
    works flatten --flat --json c3.torpor --output g.torpor
    same "identities" "$(json "d['digest']" <<<"$out")" "$(identity f.torpor)"
    same "the encoding" "$(encoding g.torpor)" flat
    works flatten --level 19 c3.torpor -o c3.torpor
    same "onto itself" "$(identity c3.torpor)" "$(identity f.torpor)"
    rm c*.torpor
    works resume -d --name f f.torpor
    answers f nonce "$nonce"
    answers f "check 9 1 1" "check ok"
    answers f "check 11 1 3" "check ok"
    answers f "dread 0 32 8 2" "dread ok"
}
try flattens "flatten: what a full save would have been, and the guest wakes from it alone"

flatten_deep() {
    make_chain 50
    works flatten c50.torpor -o f.torpor
    same "what is in it" "$(images_of f.torpor)" "$(images_of full.torpor)"
}
try flatten_deep "flatten of 50 increments equals a full save"

flatten_refuses() {
    local parent
    make_chain 2
    parent=$(identity c0.torpor)
    refuses 125 "-o FILE is missing" flatten c2.torpor
    refuses 125 "FILE or NAME is missing" flatten -o f.torpor
    refuses 125 "--level" flatten --level 0 c2.torpor -o f.torpor
    rm c0.torpor
    refuses 122 "$parent" flatten c2.torpor -o f.torpor
    refuses 122 "none.torpor" flatten none.torpor -o f.torpor
    [ ! -e f.torpor ] || fail "a file was left"
}
try flatten_refuses "flatten names the digest of a parent that is missing: 122"

# KIND and FILE of each line.
shape() { # FILE…
    works tree "$@"
    tail -n +2 <<<"$out" | sed -E 's/^[0-9a-f]{12} +([0-9]+|-)  (-|[-0-9]{10} [:0-9]{8}) +(-|[0-9.]+)  //'
}

trees() {
    make_chain 2
    works flatten c2.torpor -o f.torpor
    works tree c2.torpor c0.torpor c1.torpor
    matches "tree" "$out" '^IDENTITY +GEN +SAVED \(UTC\) +MiB +KIND +FILE'
    same "a chain, of which one is named" "$(shape c2.torpor)" \
        $'full       c0.torpor\nincrement  └─ c1.torpor\nincrement     └─ c2.torpor'
    same "with its flattened copy" "$(shape f.torpor c1.torpor)" \
        $'full       c0.torpor\nincrement  └─ c1.torpor\nfull          └─ f.torpor'
    works tree --json c2.torpor
    same "tree --json" "$(json "[(f['file'], f['increment'], f['complete'], f['generation']) for f in d['files']], d['missing']" <<<"$out")" \
        "[('./c0.torpor', False, True, 1), ('./c1.torpor', True, True, 2), ('c2.torpor', True, True, 3)] []"
    refuses 122 none.torpor tree none.torpor
    refuses 121 tar tree "$TINY"
}
try trees "tree: increments below their parents, found beside them"

tree_missing() {
    local digest
    make_chain 2
    digest=$(identity c0.torpor)
    rm c0.torpor
    same "the tree" "$(shape c2.torpor)" \
        "missing    $digest"$'\nincrement  └─ c1.torpor\nincrement     └─ c2.torpor'
    works tree --json c2.torpor
    same "tree --json" "$(json "[f['complete'] for f in d['files']], d['missing']" <<<"$out")" \
        "[False, False] ['$digest']"
}
try tree_missing "tree names the digest of what is missing"

tree_store() {
    works tree
    same "an empty store" "$(shape)" ""
    boot s
    works save -R s
    works resume -d --name t "$XDG_DATA_HOME/torpor/s.torpor"
    works save t
    works_silently build -o "$XDG_DATA_HOME/torpor/cold.torpor" --kernel "$TINY"
    same "the store" "$(shape)" $'cold       cold.torpor\nfull       s.torpor\nincrement  └─ t.torpor'
    echo nothing >"$XDG_DATA_HOME/torpor/bad.torpor"
    call tree
    [ "$status" = 0 ] && one_line "tree: .*bad\.torpor" && grep -q t.torpor "$SCRATCH/out" ||
        fail "$(report_call tree)"
}
tree_names() {
    make_live w.torpor
    works resume -d w.torpor
    works save source
    rm w.torpor
    same "by its name in the store" "$(shape source)" $'full       source.torpor'
    refuses 122 "no file, saved machine or image is named nobody" tree nobody
}
try tree_names "tree takes names of the store, as other verbs that read files do"

try tree_store "tree without operands: the store; what is damaged there is told in a line"

converts_increments() {
    local parent
    make_chain 1
    parent=$(identity c0.torpor)
    works convert --flat c1.torpor flat.torpor
    matches convert "$out" "^flat\.torpor: [0-9.]+ MiB, $(identity c1.torpor), an increment that needs $parent$"
    works convert --packed --json c1.torpor packed.torpor
    same "convert --json" "$(json "d['increment'], d['parent']" <<<"$out")" "True $parent"
    works convert --json c0.torpor full.torpor
    same "convert --json of a full one" "$(json "d['increment'], 'parent' in d" <<<"$out")" "False False"
}
try converts_increments "convert of an increment says that it wrote one, and of what"

streams() {
    make_chain 2
    cat full.torpor | "$TORPOR" convert --flat - - | cat >a.torpor || fail "convert"
    "$TORPOR" flatten c2.torpor -o - | cat >b.torpor || fail "flatten"
    works verify a.torpor
    works verify b.torpor
    same "convert" "$(identity a.torpor) $(encoding a.torpor)" "$(identity full.torpor) flat"
    same "flatten" "$(images_of b.torpor)" "$(images_of full.torpor)"
}
try streams "convert and flatten write to a pipe, and convert reads one"
