/* See boot_blob.h. */
#include "vmm/boot_blob.h"

int boot_load_blob(struct mem *mem, const struct blob *blob, uint64_t at, uint64_t len,
		   uint64_t gpa, const char *what, struct err *err)
{
	void *dst = mem_at_write(mem, gpa, len);
	int ret;

	if (dst == NULL)
		return err_set(err, ERR_FAILED,
			       "%s: %llu bytes at 0x%llx do not fit into %llu MiB of memory", what,
			       (unsigned long long)len, (unsigned long long)gpa,
			       (unsigned long long)(mem->size >> 20));
	ret = blob_read(blob, at, dst, len, err);
	return ret < 0 ? err_context(err, ret, "%s", what) : 0;
}
