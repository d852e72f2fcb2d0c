# --json: each verb that has it prints what its schema in doc/schema says, in each of its forms.

said() { # ARGUMENT…
    call "$@"
    [ -s "$SCRATCH/out" ] || fail "$(report_call "$@")"
}

every_verb() {
    same "the schemas, and the verbs that have them" "$("$VALIDATE" verbs "$TORPOR" 2>&1)" ""
}
try every_verb "each verb with --json has a schema, which torpor(1) names"

machines() {
    truncate -s 4M disk.img
    works lan create shop --dhcp
    boot other --net lan=shop
    boot web --disk disk.img -p "0:80" -p 0:53/udp
    boot gone
    works_silently kill gone
    said ps -a --json
    said stats --json
    said stats --json web other
    said stats --json --fill full web
    said inspect --json web
    said inspect --json other
    said inspect --json gone
    said port --json web
    said balloon --json web
    said lan ls --json
    said lan stats --json shop
    said disk info --json disk.img
    works volume create data 16M
    said volume ls --json
    said volume inspect data
    works_silently pause web
    said ps --json
    works_silently unpause web
    said events --json --since 1h --until 0
}
try machines "machines, LANs, disks and volumes"

files() {
    make_live a.torpor
    works resume -d --name web a.torpor
    said stats --json web
    said inspect --json web
    said save --json -R --parent a.torpor -o b.torpor web
    said save --json --encrypt --passphrase-file <(echo secret) -o c.torpor web
    works resume -d --golden --name golden a.torpor
    works reset golden
    said inspect --json golden
    said events --json --since 1h --until 0
    said inspect --json b.torpor
    said ls --json b.torpor
    said ls --json c.torpor
    said verify --json a.torpor
    said tree --json b.torpor
    said convert --json --flat b.torpor flat.torpor
    said flatten --json -o whole.torpor b.torpor
    said tag --json b.torpor localhost/b:1
    said images --json
    said gc --json
    said compat --json a.torpor
    said doctor --json
    said version --json
    mv a.torpor away.torpor
    said tree --json b.torpor
    printf damage | dd of=flat.torpor bs=1 seek=$(($(stat -c %s flat.torpor) / 2)) conv=notrunc status=none
    said verify --json flat.torpor
}
try files "files, and the store"

transcripts() {
    make_live g.torpor
    printf '  %% echo one\n  one\n' >right.t
    printf '  %% echo two\n  three\n  %% exit 3\n' >wrong.t
    said test --json --from g.torpor --repeat 2 right.t wrong.t
}
try transcripts "test --json"

# What an appliance of this part cannot show is of tests/registry.
all_used() {
    local used name
    used=" $("$VALIDATE" calls "$SCRATCH/json" | sed -n 's/^used: //p') "
    for name in $(basename -s .json -a "$tests"/../doc/schema/*.json); do
        case $name in common | progress | push | pull) continue ;; esac
        [[ $used = *" $name "* ]] || echo "$name was not used"
    done
}
each_used() {
    same "schemas" "$(all_used)" ""
}
try each_used "each schema was held against what its verb prints"
