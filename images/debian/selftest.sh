#!/bin/bash
# Boot the debian guest under QEMU and go through its protocol.

. "$(dirname "$(realpath "$0")")/../common/selftest.sh"

dir=$images/../build/images/debian
"$images/debian/build"

vm_start "$dir" ttyS0 256 2 "${with_network[@]}" "${with_agent[@]}"
check "boots" vm_ready 60
check_network
check_protocol
check_endings

vm_start "$dir" hvc0 96 1 -no-reboot
check "boots in 96 MiB, talking over hvc0, with no card and no agent" vm_ready 60
check "answers there" vm_ask nonce "^nonce $nonce\$"
vm_send poweroff
check "powers off on command" vm_gone 20

selftest_end
