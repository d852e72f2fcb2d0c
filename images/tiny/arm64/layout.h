/* Numbers shared by assembly and C. */
#ifndef TINY_ARM64_LAYOUT_H
#define TINY_ARM64_LAYOUT_H

#define BOOT_STACK 0x4000
#define AP_STACK   0x400
#define AP_MAX	   16

#endif
