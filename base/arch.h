/*
 * The names that others give to the architecture that this program is built for, and its guests
 * with it. Outside of vmm/ARCH, devices/ARCH and the programs for guests nothing else asks for the
 * architecture at compile time (tests/lint).
 */
#ifndef TORPOR_BASE_ARCH_H
#define TORPOR_BASE_ARCH_H

/*
 * ARCH_NAME    uname(2)'s, and so an appliance's
 * ARCH_GO      Go's GOARCH, which OCI takes (OCI image spec v1, "Image Index"), and Debian's
 * ARCH_AUDIT   of <linux/audit.h>: seccomp's
 * ARCH_POWER   Linux's driver of the power key
 */
#if defined(__x86_64__)
#define ARCH_NAME  "x86_64"
#define ARCH_GO	   "amd64"
#define ARCH_AUDIT AUDIT_ARCH_X86_64
#define ARCH_POWER "button"
#elif defined(__aarch64__)
#define ARCH_NAME  "aarch64"
#define ARCH_GO	   "arm64"
#define ARCH_AUDIT AUDIT_ARCH_AARCH64
#define ARCH_POWER "gpio_keys"
#else
#error "torpor has no machines of this architecture"
#endif

#endif
