/* See helper_bytes.h; the Makefile makes the numbers. */
#include "guest/helper_bytes.h"

const uint8_t helper_bytes[] = {
#include <guest/helper_bytes.inc>
};

const size_t helper_bytes_len = sizeof(helper_bytes);
