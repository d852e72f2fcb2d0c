# Container images of a registry become appliances.

# A small image with a layer, in the layout oci, and what stands for a kernel's modules.
make_image() {
    local name
    PYTHONPATH=$registry_tests/../lab python3 - <<'EOF' || fail "no image"
import oci_image
layer = oci_image.Layer()
layer.folder("etc")
layer.add("etc/motd", b"hello\n")
oci_image.write("oci", [layer], {"Entrypoint": ["/bin/app"]})
EOF
    mkdir -p mods/kernel
    for name in virtio_mmio virtio_blk virtio_console virtio_net ext4; do
        printf 'ELF\0depends=\0' >"mods/kernel/$name.ko"
    done
}

from_registry() {
    need docker-registry skopeo
    make_image
    start_registry
    copy oci:oci:latest "docker://$registry/app:1"
    json_of build -o wire.torpor --from "docker://$registry/app:1" --kernel "$TINY" --modules mods
    works_silently build -o layout.torpor --from oci:oci:latest --kernel "$TINY" --modules mods
    works extract wire.torpor disk.0
    mv disk.0.raw wire.raw
    works extract layout.torpor disk.0
    cmp wire.raw disk.0.raw || fail "another root than that of the layout"
    same "a file of the layer" "$(/sbin/debugfs -R 'cat /etc/motd' wire.raw 2>/dev/null)" hello
    refuses 121 "not a torpor file but a container's image: torpor run docker://REF" resume "docker://$registry/app:1"
    works run -d --name app -m 64M --append loud --kernel "$TINY" --modules mods "docker://$registry/app:1"
    until_true is_ready app
    # By the name in the list of images, and by another one.
    works run -d --name named -m 64M --append loud --kernel "$TINY" --modules mods "$registry/app:1"
    until_true is_ready named
    works tag "$registry/app:1" mine
    works_silently build -o named.torpor --from mine --kernel "$TINY" --modules mods
    works extract named.torpor disk.0
    cmp wire.raw disk.0.raw || fail "another root than that of the image"
    refuses 125 "'mine' names no registry" run --pull always --kernel "$TINY" --modules mods mine
    refuses 122 "app:2" build -o none.torpor --from "docker://$registry/app:2" --kernel "$TINY" --modules mods
    [ ! -e none.torpor ] || fail "a file was left"
}
try from_registry "build --from docker:// and run docker://: an image of a registry, the root that its layout gives"

run_from_registry() {
    need docker-registry skopeo
    make_image
    start_registry
    copy oci:oci:latest "docker://$registry/app:1"
    local run=(-m 64M --append loud --kernel "$TINY" --modules mods "docker://$registry/app:1") first
    refuses 122 "app:1 is not on this host, and --pull is never" run --pull never "${run[@]}"
    works run -d --name one "${run[@]}"
    first=$(ls "$HOME/.cache/torpor/roots")
    same "what is kept" "$(wc -l <<<"$first")" 2
    json_of run -d --name two --pull always "${run[@]}"
    same "what is kept" "$(ls "$HOME/.cache/torpor/roots")" "$first"
    # Another image of that name.
    rm -r oci && PYTHONPATH=$registry_tests/../lab python3 -c "
import oci_image
oci_image.write('oci', [oci_image.Layer()], {'Entrypoint': ['/bin/other']})"
    copy oci:oci:latest "docker://$registry/app:1"
    works run -d --name three "${run[@]}"
    same "what is kept, for the image is here" "$(ls "$HOME/.cache/torpor/roots")" "$first"
    works run -d --name four --pull always "${run[@]}"
    same "what is kept" "$(ls "$HOME/.cache/torpor/roots" | wc -l)" 4
    works gc
    same "what is kept, for machines hold the old image" "$(ls "$HOME/.cache/torpor/roots" | wc -l)" 4
    works kill one && works kill two && works kill three
    works gc
    same "what is kept" "$(ls "$HOME/.cache/torpor/roots" | wc -l)" 2
    kill $started && wait $started 2>/dev/null
    works run -d --name five "${run[@]}"
    until_true is_ready five
    refuses 125 "app:1: " run -d --pull always "${run[@]}"
    works_silently rmi "docker://$registry/app:1"
    works kill four && works kill five
    works gc
    same "what is kept" "$(ls "$HOME/.cache/torpor/roots")" ""
}
try run_from_registry "run docker://, again, with the registry gone, with --pull, after another push; gc"

# At a random moment: what is half made has no name, and the next call works.
image_is_killed() {
    local round took begun
    need docker-registry skopeo
    make_image
    start_registry
    copy oci:oci:latest "docker://$registry/app:1"
    local made=(--kernel "$TINY" --modules mods)
    printf '%s\n' --from "oci:oci:latest" "${made[@]}" >recipe
    begun=$(date +%s%N)
    works run -d --rm --name first -m 64M --append loud "${made[@]}" "docker://$registry/app:1"
    took=$((($(date +%s%N) - begun) / 1000000 + 1))
    works kill first
    for ((round = 0; round < ${KILL_ROUNDS:-20} / 2; round++)); do
        rm -rf "$HOME/.cache/torpor/roots" "$XDG_DATA_HOME/torpor/oci" out.torpor
        at=$(printf '%d.%03d' $((RANDOM * took / 32768 / 1000)) $((RANDOM * took / 32768 % 1000)))
        case $((round % 3)) in
        0) timeout -s KILL "$at" "$TORPOR" run -d --name web -m 64M --append loud "${made[@]}" "docker://$registry/app:1" ;;
        1) timeout -s KILL "$at" "$TORPOR" build -o out.torpor "@recipe" ;;
        2) timeout -s KILL "$at" "$TORPOR" run -d --name web -m 64M --append loud "${made[@]}" oci:oci:latest ;;
        esac >/dev/null 2>&1
        [ ! -e out.torpor ] || works verify out.torpor
        settled() { ! "$TORPOR" ps | grep -q '^web .*busy'; }
        until_true settled
        call kill web
        works gc
        # A root that is kept is whole: with its record, or not there.
        works run -d --rm --name again -m 64M --append loud "${made[@]}" "docker://$registry/app:1"
        until_true is_ready again
        works kill again
        works_silently build -o after.torpor @recipe
        works verify after.torpor
        rm after.torpor
    done
    [ -z "$(find . -name '*.torpor*' ! -name out.torpor)" ] || fail "left: $(find . -name '*.torpor*')"
}
try image_is_killed "kill -9 anywhere in run IMAGE and build: nothing half made has a name, and the next call works"

# What has only just changed is not kept.
is_settled() {
    [ $(($(date +%s) - $(stat -c %Z oci/index.json))) -gt 3 ]
}

# Each place that is written to, in turn: the cache of roots, the output.
image_fills_the_disk() {
    make_image
    mkdir -p small "$HOME/.cache"
    mount -t tmpfs -o size=16k tmpfs small 2>/dev/null || skip "no file system can be mounted"
    printf '%s\n' --from oci:oci:latest --kernel "$TINY" --modules mods >recipe
    local run=(-m 64M --append loud --kernel "$TINY" --modules mods oci:oci:latest)
    until_true is_settled
    ln -s "$PWD/small" "$HOME/.cache/torpor"
    refuses 125 "No space left on device" run -d --name web "${run[@]}"
    same "what is left in the cache" "$(find small -type f)" ""
    rm "$HOME/.cache/torpor"
    same "machines" "$("$TORPOR" ps -aq)" ""
    refuses 125 "No space left on device" build -o small/out.torpor @recipe
    [ ! -e small/out.torpor ] || fail "a file is left"
    works run -d --name web "${run[@]}"
    until_true is_ready web
}
try image_fills_the_disk "run IMAGE and build on a full disk: it is said, nothing is left, and with room the next call works"
