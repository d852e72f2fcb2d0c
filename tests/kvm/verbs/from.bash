# Appliances from container images and folders. The tiny kernel says nothing when it reads `quiet`, which is in the
# default command line. It takes any initrd and disk; what the guest's init does
# is tests/lab/build.py.

# modules FOLDER NAME…: what a kernel's modules look like from outside.
modules() {
    local folder=$1 name
    shift
    mkdir -p "$folder/kernel"
    for name; do
        printf 'ELF\0depends=\0' >"$folder/kernel/$name.ko"
    done
}

from_folder() {
    mkdir -p root/etc root/bin
    echo hello >root/etc/motd
    modules mods virtio_mmio virtio_blk virtio_console virtio_net ext4
    works_silently build -o from.torpor --from root --kernel "$TINY" --modules mods --space 8M
    works_silently build -o again.torpor --from root --kernel "$TINY" --modules mods --space 8M
    cmp -s from.torpor again.torpor || fail "the same folder gave other bytes"
    works extract from.torpor disk.0 initrd
    matches "the initrd" "$(cpio -t <initrd 2>/dev/null | tr '\n' ' ')" '^dev dev/console modules .*torpor.conf init $'
    same "a file on the disk" "$(/sbin/debugfs -R 'cat /etc/motd' disk.0.raw 2>/dev/null)" hello
    /sbin/e2fsck -fn disk.0.raw >/dev/null 2>&1 || fail "e2fsck finds a fault"
    works run -d --name from -m 64M --append loud from.torpor
    until_true is_ready from
    matches "the disk" "$(say from disks)" '^disks 1 [0-9]+$'
}
try from_folder "build --from FOLDER: the same bytes twice, a disk with its files, an initrd; it runs"

from_image() {
    mkdir -p oci
    command -v umoci >/dev/null || skip "umoci is not installed"
    umoci init --layout oci/layout && umoci new --image oci/layout:latest &&
        umoci config --image oci/layout:latest --config.entrypoint /bin/app --config.user 7 \
            --config.label maker=me \
            --config.label torpor.image=registry.example/stolen --config.exposedports 80/tcp >/dev/null || fail "umoci"
    modules mods virtio_mmio virtio_blk virtio_console virtio_net ext4
    works_silently build -o image.torpor --from oci:oci/layout:latest --kernel "$TINY" --modules mods -- one two
    works extract image.torpor initrd
    cpio -i --quiet --to-stdout torpor.conf <initrd 2>/dev/null | tr '\0' '\n' >conf
    same "what the init is told" "$(grep -v '^m' conf | tr '\n' ' ')" \
        "r/dev/vda text4 hlayout u7 a/bin/app aone atwo "
    works inspect image.torpor
    matches "inspect" "$out" '"maker":"me"'
    matches "inspect" "$out" '"torpor.ports":"80/tcp"'
    [[ $out != *stolen* ]] || fail "the image said where it is from: $out"
}
try from_image "build --from oci:, with another command: labels and ports are kept, the init is told"

# What a name could have meant.
other_names() {
    tar -cf root.tar -C / etc/hostname
    refuses 122 'no file or image is named app:7.*; an image of a registry is docker://app:7' run app:7
    refuses 122 'app:7: No such file.*; an image of a registry is docker://app:7' build -o x.torpor --from app:7
    refuses 125 'root.tar is no folder; the tar of a root file system is tar:root.tar' build -o x.torpor --from root.tar
    refuses 121 'no oci-layout; the tar of a root file system is tar:root.tar' run root.tar
    works_silently build -o cold.torpor --kernel "$TINY" -m 64M
    mkdir cold && tar -C cold -xf cold.torpor
    refuses 125 'takes it without oci: or oci-archive: before it' run oci:cold
    refuses 125 'takes it without oci: or oci-archive: before it' run oci-archive:cold.torpor
    works run -d --name cold -m 64M --append loud cold
    until_true is_ready cold
    works tag cold.torpor stored
    works keygen --no-passphrase -p key.pub -s key.key
    refuses 125 'stored is an image, which never changes: -o FILE says what to write' sign -s key.key stored
    works sign -s key.key -o signed.torpor stored
}
try other_names "run, build and sign say how else an image of a registry, a tar, a folder or a stored image is named"

run_folder() {
    mkdir -p root/etc
    modules mods virtio_mmio virtio_blk virtio_console virtio_net ext4
    works run -d --name folder -m 64M --append loud --kernel "$TINY" --modules mods --space 8M root
    until_true is_ready folder
    matches "the disk" "$(say folder disks)" '^disks 1 [0-9]+$'
    answers folder "dwrite 0 0 8 3" "dwrite ok"
    works save folder -o folder.torpor
    works resume folder.torpor -d --name folder
    answers folder "dread 0 0 8 3" "dread ok"
    refuses 125 "initrd" run --initrd "$TINY" root
    refuses 125 "modules" run --kernel "$TINY" --modules mods
    refuses 122 "none" run --kernel "$TINY" --modules mods oci:none
}
try run_folder "run FOLDER: it is built and runs; a save has its disk"

is_settled() { # FOLDER: it has not changed for three seconds
    [ -z "$(find "$1" -newerct '3 seconds ago')" ]
}

kept_roots() {
    find "$HOME/.cache/torpor/roots" -name '*.ext4' -printf '%i\n' 2>/dev/null | sort
}

run_again() {
    mkdir -p root/etc
    echo one >root/etc/motd
    modules mods virtio_mmio virtio_blk virtio_console virtio_net ext4
    local run=(-m 64M --append loud --kernel "$TINY" --modules mods --space 8M) first disk
    works run -d --name fresh "${run[@]}" root
    same "kept of a folder that may still change" "$(kept_roots)" ""
    until_true is_settled root
    works run -d --name first "${run[@]}" root
    first=$(kept_roots)
    matches "kept" "$first" '^[0-9]+$'
    works run -d --name second "${run[@]}" root
    works run -d --name third "${run[@]}" root -- another command
    same "kept after more runs" "$(kept_roots)" "$first"
    until_true is_ready third
    answers third "dwrite 0 0 8 3" "dwrite ok"
    works save third -o third.torpor
    disk=$(echo "$HOME"/.cache/torpor/roots/*.ext4)
    works build -o built.torpor --from root --kernel "$TINY" --modules mods --space 8M
    works extract built.torpor disk.0
    cmp "$disk" disk.0.raw || fail "a run wrote to what is kept"
    works gc
    same "after gc" "$(kept_roots)" "$first"
    # Another content, the other options: new ones.
    echo two >root/etc/motd
    until_true is_settled root
    works run -d --name changed "${run[@]}" root
    same "kept after a change" "$(kept_roots | wc -l)" 2
    works gc
    same "after gc" "$(kept_roots | wc -l)" 1
    [ "$(kept_roots)" != "$first" ] || fail "gc removed the wrong one"
    rm -r root
    works gc
    same "after gc without the folder" "$(kept_roots)$(ls "$HOME/.cache/torpor/roots")" ""
    answers first "dwrite 0 0 8 3" "dwrite ok"
    # One that is cut off is made anew.
    mkdir root
    until_true is_settled root
    works run -d --name whole "${run[@]}" root
    truncate -s 4096 "$HOME"/.cache/torpor/roots/*.ext4
    works run -d --name cut "${run[@]}" root
    until_true is_ready cut
    [ "$(stat -c %s "$HOME"/.cache/torpor/roots/*.ext4)" -gt 4096 ] || fail "it is still cut off"
    # Where nothing can be kept, it runs all the same.
    rm -r "$HOME/.cache/torpor/roots"
    echo >"$HOME/.cache/torpor/roots"
    works run -d --name unkept "${run[@]}" root
    until_true is_ready unkept
    refuses 125 "not always, missing or never" run --pull sometimes docker://localhost/x
}
try run_again "run FOLDER again: its root disk is the one of before, until it holds something else; gc"

from_refused() {
    mkdir -p root
    modules few virtio_mmio
    refuses 122 "no module virtio_blk" build -o none.torpor --from root --kernel "$TINY" --modules few
    refuses 122 "nonesuch" build -o none.torpor --from root --kernel "$TINY" --modules nonesuch
    refuses 125 "--modules" build -o none.torpor --from root --kernel "$TINY"
    refuses 125 "--initrd" build -o none.torpor --from root --kernel "$TINY" --modules few --initrd "$TINY"
    refuses 125 "--space" build -o none.torpor --from root --space 33G
    refuses 125 "--from" build -o none.torpor --kernel "$TINY" --module overlay
    mkdir layout
    echo '{"imageLayoutVersion":"1.0.0"}' >layout/oci-layout
    refuses 125 "name it oci:layout" build -o none.torpor --from layout --kernel "$TINY" --modules few
    refuses 125 "unexpected" build -o none.torpor --kernel "$TINY" -- command
    [ ! -e none.torpor ] || fail "a file was left"
}
try from_refused "build --from: what does not go together, and modules that are missing, are named"

# A member of the config of an image in a layout that umoci made.
set_config() { # LAYOUT JSON
    python3 - "$@" <<'PYTHON'
import hashlib, json, sys

layout, added = sys.argv[1], json.loads(sys.argv[2])
blob = lambda digest: f"{layout}/blobs/" + digest.replace(":", "/")

def change(descriptor, edit):
    with open(blob(descriptor["digest"]), "rb") as file:
        found = json.load(file)
    edit(found)
    data = json.dumps(found).encode()
    descriptor["digest"] = "sha256:" + hashlib.sha256(data).hexdigest()
    descriptor["size"] = len(data)
    with open(blob(descriptor["digest"]), "wb") as file:
        file.write(data)

with open(f"{layout}/index.json", encoding="utf-8") as file:
    index = json.load(file)
set_in = lambda config: config.setdefault("config", {}).update(added)
change(index["manifests"][0], lambda manifest: change(manifest["config"], set_in))
with open(f"{layout}/index.json", "w", encoding="utf-8") as file:
    json.dump(index, file)
PYTHON
}

health_check() {
    local build=(--kernel "$TINY" --modules mods --space 8M -m 64M --ready-timeout 1)
    command -v umoci >/dev/null || skip "umoci is not installed"
    modules mods virtio_mmio virtio_blk virtio_console virtio_net ext4
    umoci init --layout layout && umoci new --image layout:latest || fail "umoci"
    refuses 125 '--live needs --ready.*; this image has no health check' build --live -o x.torpor \
        --from oci:layout:latest "${build[@]}"
    set_config layout '{"Healthcheck": {"Test": ["NONE"]}}'
    refuses 125 'has no health check' build --live -o x.torpor --from oci:layout:latest "${build[@]}"
    # This guest runs no commands: only that it is waited for.
    set_config layout '{"Healthcheck": {"Test": ["CMD", "/bin/is up", "it'"'"'s"]}}'
    call build --live -o x.torpor --from oci:layout:latest "${build[@]}"
    same "not in time" "$status" 124
    grep -qF "'/bin/is up' 'it'\''s'" "$SCRATCH/err" || fail "$(<"$SCRATCH/err")"
    set_config layout '{"Healthcheck": {"Test": ["CMD-SHELL", "test -e /up"]}}'
    call build --live -o x.torpor --from oci:layout:latest "${build[@]}"
    same "not in time" "$status" 124
    grep -qF "test -e /up" "$SCRATCH/err" || fail "$(<"$SCRATCH/err")"
    [ ! -e x.torpor ] || fail "it was written"
    same "machines" "$("$TORPOR" ps -a -q)" ""
}
try health_check "build --live of an image: without --ready its health check is waited for"

is_serving() {
    grep -q '^http://' served
}

not_for_this() {
    local host
    make_live live.torpor
    works build -o cold.torpor --kernel "$TINY" -m 64M
    refuses 125 'cold.torpor: it is an appliance and no container image' build --from oci-archive:cold.torpor -o x.torpor \
        --kernel "$TINY" --modules .
    refuses 125 'build -o web.torpor --from docker://example.org/redis:7, or' build --from docker://example.org/redis:7
    "$TORPOR" serve --listen 127.0.0.1:0 live.torpor cold.torpor >served 2>&1 &
    until_true is_serving
    host=$(sed 's,http://,,' served)
    refuses 125 "docker://$host/live:latest: it is live: wake it with torpor resume" run "docker://$host/live:latest"
    refuses 125 "it is an appliance and no container image" build --from "docker://$host/live" -o x.torpor
    [ "$(du -s -B1 "$XDG_DATA_HOME/torpor" | cut -f1)" -lt "$(stat -c %s live.torpor)" ] ||
        fail "all of it was fetched: $(find "$XDG_DATA_HOME/torpor" -type f -ls)"
    works run -d -n cold "docker://$host/cold:latest"
    until_true is_ready cold
}
try not_for_this "what is an appliance, or live, is told before it is fetched"

half_kept() {
    mkdir -p root
    modules mods virtio_mmio virtio_blk virtio_console virtio_net ext4
    until_true is_settled root
    works run -d --name web -m 64M --append loud --kernel "$TINY" --modules mods --space 8M root
    works gc
    same "what gc says" "$out" "0 images, 0 partial downloads, 0 root disks: 0.0 MiB removed"
    same "roots kept" "$(kept_roots | wc -l)" 1
    # As if its maker had been killed behind one of the two.
    touch "$HOME/.cache/torpor/roots/$(printf '0%.0s' {1..64}).json"
    find "$HOME/.cache/torpor/roots" -name '*.json' -size +0 -delete
    works gc
    matches "what gc says" "$out" "^0 images, 0 partial downloads, 1 root disk: "
    same "what is left" "$(ls -A "$HOME/.cache/torpor/roots")" ""
}
try half_kept "gc: of a root disk and its description, one alone is removed"
