/* Numbers shared by assembly and C. */
#ifndef TINY_X86_64_LAYOUT_H
#define TINY_X86_64_LAYOUT_H

#define SEL_CODE64 0x08
#define SEL_DATA   0x10
#define SEL_CODE32 0x18

#define BOOT_STACK 0x4000
#define AP_STACK   0x400
#define AP_MAX	   16
#define AP_PAGE	   0x8000 /* where a SIPI starts the other processors */

#endif
