/* The helper (guest/helper) as the file that is put into the guest. */
#ifndef TORPOR_GUEST_HELPER_BYTES_H
#define TORPOR_GUEST_HELPER_BYTES_H

#include <stddef.h>
#include <stdint.h>

extern const uint8_t helper_bytes[];
extern const size_t helper_bytes_len;

#endif
