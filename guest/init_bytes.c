/* See init_bytes.h; the Makefile makes the numbers. */
#include "guest/init_bytes.h"

const uint8_t init_bytes[] = {
#include <guest/init_bytes.inc>
};

const size_t init_bytes_len = sizeof(init_bytes);
