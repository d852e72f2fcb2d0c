/*
 * The contents of an appliance in another one, that is encrypted with another key, or is not.
 *
 * Its config says what the old one says but for that, and for the digests of what is encrypted. So
 * it is another appliance: signatures and hot sets stay behind, as does what this version does not
 * know, and increments of the old one do not find it as their parent. The file is published as
 * archive_writer.h says, and may replace the one it is made from. One thread calls.
 */
#ifndef TORPOR_FORMAT_REKEY_H
#define TORPOR_FORMAT_REKEY_H

#include "format/archive.h"

/* `level` is of zstd, or 0: images are flat, which they can only be in clear. `keys`: what locks
 * it; NULL: in clear. The archive is verified first (archive_ensure_verified()). `digest` becomes
 * the identity. Returns 0; -EINVAL with ERR_USAGE when its contents are closed; or what archive.h
 * and archive_writer.h say. */
int rekey_archive(struct archive *from, const char *target, int level, const struct keyring *keys,
		  char digest[DIGEST_TEXT_SIZE], struct err *err);

#endif
