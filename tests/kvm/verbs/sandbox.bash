# What confines a running machine, as the kernel tells of its threads, and that it lives with it.

# The status of every thread: what main has, vCPUs and pagers have.
threads_have() { # PID FIELD PATTERN
    local task value seen=0
    for task in /proc/"$1"/task/*; do
        # Threads that fill memory end meanwhile.
        value=$(sed -n "s/^$2:\s*//p" "$task/status" 2>/dev/null) && [ -n "$value" ] || continue
        matches "$2 of $task" "$value" "$3"
        seen=$((seen + 1))
    done
    [ "$seen" -ge 2 ] || fail "$seen threads of process $1 could be looked at"
}

# Of root's capabilities those of files, locked memory, userfaultfd and low ports.
has_few_capabilities() { # PID
    local task effective
    for task in /proc/"$1"/task/*; do
        effective=$(sed -n 's/^CapEff:\s*//p' "$task/status" 2>/dev/null) && [ -n "$effective" ] || continue
        (((16#$effective & ~0x8440e) == 0)) || fail "$task has the capabilities $effective"
    done
}

# By what was just told: as the kernel has it, whenever that has Landlock.
own_files() {
    json "d['sandbox']['own-files'] == (d['sandbox']['landlock'] > 0)" <<<"$out"
}

confined() {
    local pid how before after file
    works run -d -n safe --kernel "$TINY" -m 32M
    until_true is_ready safe
    works inspect safe --json
    pid=$(json "d['pid']" <<<"$out")
    same "dumpable" "$(json "d['sandbox']['dumpable']" <<<"$out")" False
    same "own files only" "$(own_files)" True
    grep -q '^Seccomp_filters:' /proc/self/status || skip "this kernel does not count filters"
    same "filters by inspect" "$(json "d['sandbox']['seccomp']" <<<"$out")" 2
    threads_have "$pid" Seccomp_filters '^2$'
    threads_have "$pid" NoNewPrivs '^1$'
    has_few_capabilities "$pid"
    works inspect safe
    matches inspect "$out" 'sandbox +2 seccomp filters, Landlock: (version [0-9]+, own files only|none), not dumpable'
    # It is saved where its user wants, by each way, and goes on.
    works save -R -o one.torpor safe
    works save -R -o two.torpor --parent one.torpor safe
    mkdir deep && works save -R -o deep/three.torpor safe
    works save -o four.torpor safe
    works resume -d four.torpor -n safe
    answers safe "ping b" "pong b"
    works inspect safe --json
    same "own files only, of one that was resumed" "$(own_files)" True
    threads_have "$(json "d['pid']" <<<"$out")" Seccomp_filters '^2$'
}
try confined "a running machine: two filters on every thread, not dumpable, few capabilities; it saves anywhere"
