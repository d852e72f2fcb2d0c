/* The init of guests made from container images (guest/init), as the file in their initramfs. */
#ifndef TORPOR_GUEST_INIT_BYTES_H
#define TORPOR_GUEST_INIT_BYTES_H

#include <stddef.h>
#include <stdint.h>

extern const uint8_t init_bytes[];
extern const size_t init_bytes_len;

#endif
