/*
 * Writing an appliance into another file: with its images encoded differently, signed, or without
 * its hot set.
 *
 * The config goes over as it is, byte for byte, and everything it names must still be what it
 * names: so the new file is the same appliance, signatures hold, and increments find it as their
 * parent. Blobs that have no part in the identity go along as they are. The file is published as
 * archive_writer.h says, and may replace the one it is made from. One thread calls.
 */
#ifndef TORPOR_FORMAT_CONVERT_H
#define TORPOR_FORMAT_CONVERT_H

#include "format/archive.h"
#include "format/hot.h"

enum convert_encoding {
	CONVERT_KEEP, /* each image as it is */
	CONVERT_FLAT,
	CONVERT_PACK,
};

struct convert_params {
	enum convert_encoding encoding;
	/* CONVERT_PACK: of zstd, and what is packed already is packed anew; 0: that stays as it is,
	 * and the rest is packed at IMAGE_PACK_LEVEL. */
	int level;
	bool drop_hot;		   /* leave the hot sets out */
	const struct hot_set *hot; /* NULL, or new ones, instead of those there are */
	size_t nhot;
	const char *signature; /* text of one over the config (archive_config()); NULL: the one
				  that is there, if there is one */
};

/* The bytes of the config, which a signature is over, checked against archive_digest(). The caller
 * frees *config, also after an error. Returns 0, -EINVAL (ERR_INTEGRITY), what digest_bytes()
 * gives, -ENOMEM or the errno of pread(2). */
int archive_config(const struct archive *a, uint8_t **config, size_t *len, struct err *err);

/* The archive is verified first (archive_ensure_verified()). Returns 0; -EINVAL with ERR_USAGE when
 * an encrypted appliance would become flat or hot; or what archive.h and archive_writer.h say. */
int convert_archive(struct archive *from, const char *target, const struct convert_params *params,
		    struct err *err);

/* The same into an open file or pipe (archive_writer_open_stream()), which has no name to be
 * published under. */
int convert_archive_stream(struct archive *from, int fd, const struct convert_params *params,
			   struct err *err);

#endif
