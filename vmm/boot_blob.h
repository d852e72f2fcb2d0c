/* What the loaders of all architectures share. Machine lock held, no vCPU runs. */
#ifndef TORPOR_VMM_BOOT_BLOB_H
#define TORPOR_VMM_BOOT_BLOB_H

#include "base/blob.h"
#include "vmm/mem.h"

/* Read part of the kernel or initrd file straight into guest memory; `what` names it in an error.
 * Returns 0; ERR_FAILED in words for the owner of the file: it does not fit; or what blob_read()
 * gives. */
int boot_load_blob(struct mem *mem, const struct blob *blob, uint64_t at, uint64_t len,
		   uint64_t gpa, const char *what, struct err *err);

#endif
