/* See secret.h. */
#include "format/crypto/secret.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

void secret_lock(void *secret, size_t len)
{
	/* Without the right to lock it is as safe as the guest's memory, which is not locked. */
	(void)mlock(secret, len);
}

void *secret_new(size_t len, struct err *err)
{
	void *secret = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (secret == MAP_FAILED) {
		err_sys(err, errno, "memory for a key");
		return NULL;
	}
	secret_lock(secret, len);
	(void)madvise(secret, len, MADV_DONTDUMP);
	return secret;
}

void secret_free(void *secret, size_t len)
{
	if (secret == NULL)
		return;
	explicit_bzero(secret, len);
	munmap(secret, len);
}
