/*
 * One full file from a chain: what a full save would have written where the newest increment was.
 *
 * Memory is resolved to frames and zeros; of a disk the base stays, and the overlays become one.
 * The config is that of the newest file, but no increment; its parent is kept for the record. The
 * identity is new. Hot sets, signatures and what this version does not know belong to the files
 * they are in, and are left out. The file is published as archive_writer.h says, and may replace
 * one of the chain. One thread calls.
 */
#ifndef TORPOR_FORMAT_FLATTEN_H
#define TORPOR_FORMAT_FLATTEN_H

#include "format/chain.h"

/* `level` is of zstd, or 0: images are flat, which they can only be in clear. `keys`: what locks
 * the file; NULL: in clear. The chain is verified first (chain_ensure_verified()). `digest`
 * becomes the identity. Returns 0, or what chain.h and archive_writer.h say. */
int flatten_chain(const struct chain *c, const char *target, int level, const struct keyring *keys,
		  char digest[DIGEST_TEXT_SIZE], struct err *err);

#endif
