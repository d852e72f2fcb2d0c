# The programs for guests are made by another architecture's compiler.

for_arm64() {
    local program
    need aarch64-linux-gnu-gcc make
    [ -d "$interop/../../build/sysroot-arm64" ] || echo "#include <stdio.h>" | aarch64-linux-gnu-gcc -E - >/dev/null 2>&1 ||
        skip "arm64's headers are not here (make deps-arm64)"
    # The compiler that `make check` was given is this machine's.
    env -u MAKEFLAGS -u CC make -s -C "$interop/../.." WERROR=1 ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- BUILD="$PWD/arm64" \
        "$PWD/arm64/guest/helper/helper" "$PWD/arm64/guest/init/init" >made 2>&1 || fail "$(tail made)"
    for program in helper/helper init/init; do
        matches "$program" "$(LC_ALL=C readelf -h "arm64/guest/$program")" 'Machine: +AArch64'
        same "$program needs" "$(readelf -d "arm64/guest/$program" 2>/dev/null | grep -c NEEDED)" 0
    done
}
try for_arm64 "the helper and the init for guests are made for arm64"
