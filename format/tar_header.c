/*
 * One tar header; see tar_header.h. A field is octal digits that a space or NUL ends. A size that
 * does not fit eleven of them (8 GiB) is written in base 256, an extension of GNU tar and star that
 * libarchive and GNU tar read, too.
 */
#include "format/tar_header.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

#define MAX_NAME   100u
#define MAX_OCTAL  UINT64_C(077777777777)
#define TYPE_FILE  '0'
#define TYPE_LINK  '2'
#define MODE_FILE  0644u
#define MODE_LINK  0777u
#define SUM_BLANKS "        " /* the sum is taken with its own field blank */

/* POSIX.1-2017, pax, "ustar Header Block". */
struct tar_header {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char chksum[8];
	char typeflag;
	char linkname[100];
	char magic[6];
	char version[2];
	char uname[32];
	char gname[32];
	char devmajor[8];
	char devminor[8];
	char prefix[155];
	char pad[12];
};

_Static_assert(sizeof(struct tar_header) == TAR_BLOCK, "a header is one block");

static void tar_put_octal(char *field, int digits, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%0*llo ", digits, (unsigned long long)value);
	memcpy(field, text, (size_t)digits + 1);
}

static void tar_put_size(char field[12], uint64_t size)
{
	if (size <= MAX_OCTAL) {
		tar_put_octal(field, 11, size);
		return;
	}
	field[0] = (char)0x80;
	for (int i = 11; i > 0; i--, size >>= 8)
		field[i] = (char)(size & 0xff);
}

void tar_header_make(const char *name, const char *link, uint64_t size, uint8_t header[TAR_BLOCK])
{
	struct tar_header h = {0};
	unsigned sum = 0;

	assert(strlen(name) <= MAX_NAME && (link == NULL || strlen(link) <= MAX_NAME));
	memcpy(h.name, name, strlen(name));
	tar_put_octal(h.mode, 6, link != NULL ? MODE_LINK : MODE_FILE);
	tar_put_octal(h.uid, 6, 0);
	tar_put_octal(h.gid, 6, 0);
	tar_put_size(h.size, size);
	tar_put_octal(h.mtime, 11, 0);
	h.typeflag = link != NULL ? TYPE_LINK : TYPE_FILE;
	if (link != NULL)
		memcpy(h.linkname, link, strlen(link));
	memcpy(h.magic, "ustar", sizeof(h.magic));
	memcpy(h.version, "00", sizeof(h.version));
	tar_put_octal(h.devmajor, 6, 0);
	tar_put_octal(h.devminor, 6, 0);

	memcpy(h.chksum, SUM_BLANKS, sizeof(h.chksum));
	memcpy(header, &h, TAR_BLOCK);
	for (unsigned i = 0; i < TAR_BLOCK; i++)
		sum += header[i];
	snprintf(h.chksum, sizeof(h.chksum), "%06o", sum); /* its NUL, then the blank */
	memcpy(header, &h, TAR_BLOCK);
}
