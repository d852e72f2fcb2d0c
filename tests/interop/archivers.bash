# Other people's tar and zstd.

lists_alike() {
    local file
    variants
    for file in *.torpor; do
        tar tf "$file" >gnu || fail "tar"
        bsdtar tf "$file" >bsd || fail "bsdtar"
        python3 -c 'import sys, tarfile; print("\n".join(m.name for m in tarfile.open(sys.argv[1])))' "$file" >python ||
            fail "python"
        cmp gnu bsd && cmp gnu python || fail "$file: they list different members"
        grep -qx oci-layout gnu && grep -qx index.json gnu || fail "$file: no OCI layout: $(cat gnu)"
    done
}
try lists_alike "GNU tar, bsdtar and Python list the same members, of every kind of file"

unpacks_alike() {
    local file
    need bsdtar
    variants
    for file in *.torpor; do
        rm -rf gnu bsd python
        mkdir gnu bsd python
        tar xf "$file" -C gnu || fail "tar"
        bsdtar xf "$file" -C bsd || fail "bsdtar"
        python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall("python")' "$file" || fail "python"
        diff -r --no-dereference gnu bsd && diff -r --no-dereference gnu python || fail "$file: they unpack differently"
        (cd gnu/blobs/sha256 && for f in *; do echo "$f  $f"; done | sha256sum -c --quiet) ||
            fail "$file: a blob's name is not its digest"
        works verify gnu
        same "the unpacked identity" "$(identity gnu)" "$(identity "$file")"
    done
}
try unpacks_alike "GNU tar, bsdtar and Python unpack the same blobs, and the folder is the same appliance"

# Parts of an image in their order, by the links named after their roles.
parts() { # FOLDER IMAGE
    local part=0
    while [ -e "$1/$2.$part" ]; do
        printf '%s\n' "$1/$2.$part"
        part=$((part + 1))
    done
}

zstd_flattens() {
    local file image part
    need zstd
    variants
    works convert --flat increment.torpor flat-increment.torpor
    for file in *.torpor; do
        mkdir "x-$file"
        tar xf "$file" -C "x-$file" || fail "tar"
    done
    for file in packed hot signed stream increment; do
        for image in memory.0 disk.0.overlay; do
            [ -e "x-$file.torpor/$image.0" ] || fail "$file: no data in $image"
            for part in $(parts "x-$file.torpor" $image); do
                zstd -dcq <"$part" || fail "$file: zstd -d $part"
            done >unpacked
            flat=x-flat.torpor
            [ $file != increment ] || flat=x-flat-increment.torpor
            parts $flat $image | xargs cat | cmp - unpacked || fail "$file: $image is something else when zstd unpacks it"
        done
    done
}
try zstd_flattens "zstd -d of packed parts gives the bytes of flat ones"
