/* The AML writer; see aml.h. Pure. Section numbers are of ACPI 6.5. */
#include "vmm/x86_64/aml.h"

#include <string.h>

#include "base/num.h"

#define OP_ZERO	    0x00
#define OP_ONE	    0x01
#define OP_NAME	    0x08
#define OP_BYTE	    0x0a
#define OP_WORD	    0x0b
#define OP_DWORD    0x0c
#define OP_STRING   0x0d
#define OP_SCOPE    0x10
#define OP_BUFFER   0x11
#define OP_PACKAGE  0x12
#define OP_METHOD   0x14
#define OP_EXT	    0x5b
#define OP_DEVICE   0x82 /* behind OP_EXT */
#define OP_NOTIFY   0x86
#define OP_RETURN   0xa4
#define OP_DUALPATH 0x2e
#define PKG_SIZE    4u /* PkgLength in its four-byte form (§20.2.4) */

/* §20.2.2: an optional root character, then one or two segments. */
static void add_path(struct buf *b, const char *path)
{
	if (*path == '\\')
		buf_add_u8(b, (uint8_t)*path++);
	if (strlen(path) == 9) { /* AAAA.BBBB */
		buf_add_u8(b, OP_DUALPATH);
		buf_add(b, path, 4);
		path += 5;
	}
	buf_add(b, path, 4);
}

/* The shortest encoding: iasl compares with its own. */
static void add_int(struct buf *b, uint32_t value)
{
	if (value == 0) {
		buf_add_u8(b, OP_ZERO);
	} else if (value == 1) {
		buf_add_u8(b, OP_ONE);
	} else if (value <= 0xff) {
		buf_add_u8(b, OP_BYTE);
		buf_add_u8(b, (uint8_t)value);
	} else if (value <= 0xffff) {
		buf_add_u8(b, OP_WORD);
		buf_add_le16(b, (uint16_t)value);
	} else {
		buf_add_u8(b, OP_DWORD);
		buf_add_le32(b, value);
	}
}

static struct aml_mark open_package(struct buf *b)
{
	struct aml_mark mark = {.at = b->len};

	buf_add_le32(b, 0);
	return mark;
}

void aml_close(struct buf *b, struct aml_mark mark)
{
	uint32_t len;

	if (buf_failed(b))
		return;
	len = (uint32_t)(b->len - mark.at);
	b->data[mark.at] = (uint8_t)(0xc0 | (len & 0xf));
	b->data[mark.at + 1] = (uint8_t)(len >> 4);
	b->data[mark.at + 2] = (uint8_t)(len >> 12);
	b->data[mark.at + 3] = (uint8_t)(len >> 20);
}

struct aml_mark aml_open_scope(struct buf *b, const char *path)
{
	struct aml_mark mark;

	buf_add_u8(b, OP_SCOPE);
	mark = open_package(b);
	add_path(b, path);
	return mark;
}

struct aml_mark aml_open_device(struct buf *b, const char *name)
{
	struct aml_mark mark;

	buf_add_u8(b, OP_EXT);
	buf_add_u8(b, OP_DEVICE);
	mark = open_package(b);
	add_path(b, name);
	return mark;
}

struct aml_mark aml_open_method(struct buf *b, const char *name)
{
	struct aml_mark mark;

	buf_add_u8(b, OP_METHOD);
	mark = open_package(b);
	add_path(b, name);
	buf_add_u8(b, 0); /* no arguments, not serialized */
	return mark;
}

static void open_name(struct buf *b, const char *name)
{
	buf_add_u8(b, OP_NAME);
	add_path(b, name);
}

void aml_name_int(struct buf *b, const char *name, uint32_t value)
{
	open_name(b, name);
	add_int(b, value);
}

void aml_name_string(struct buf *b, const char *name, const char *value)
{
	open_name(b, name);
	buf_add_u8(b, OP_STRING);
	buf_add(b, value, strlen(value) + 1);
}

static uint32_t hex_digit(char c)
{
	return (uint32_t)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* Three compressed letters and four hex digits, big-endian (§19.3.4, EISAID). */
void aml_name_eisa(struct buf *b, const char *name, const char *id)
{
	uint32_t v = (uint32_t)(id[0] - '@') << 26 | (uint32_t)(id[1] - '@') << 21 |
		     (uint32_t)(id[2] - '@') << 16 | hex_digit(id[3]) << 12 |
		     hex_digit(id[4]) << 8 | hex_digit(id[5]) << 4 | hex_digit(id[6]);

	open_name(b, name);
	buf_add_u8(b, OP_DWORD);
	buf_add_le32(b, __builtin_bswap32(v));
}

static void add_package(struct buf *b, const uint32_t *values, uint8_t count)
{
	struct aml_mark mark;

	buf_add_u8(b, OP_PACKAGE);
	mark = open_package(b);
	buf_add_u8(b, count);
	for (uint8_t i = 0; i < count; i++)
		add_int(b, values[i]);
	aml_close(b, mark);
}

void aml_name_package(struct buf *b, const char *name, const uint32_t *values, uint8_t count)
{
	open_name(b, name);
	add_package(b, values, count);
}

void aml_return_package(struct buf *b, const uint32_t *values, uint8_t count)
{
	buf_add_u8(b, OP_RETURN);
	add_package(b, values, count);
}

void aml_notify(struct buf *b, const char *path, uint8_t value)
{
	buf_add_u8(b, OP_NOTIFY);
	add_path(b, path);
	add_int(b, value);
}

/* A buffer: PkgLength, size as a word, bytes. Both lengths are filled in when it is closed. */
struct aml_mark aml_open_resources(struct buf *b)
{
	struct aml_mark mark;

	open_name(b, "_CRS");
	buf_add_u8(b, OP_BUFFER);
	mark = open_package(b);
	buf_add_u8(b, OP_WORD);
	buf_add_le16(b, 0);
	return mark;
}

void aml_close_resources(struct buf *b, struct aml_mark mark)
{
	size_t head = mark.at + PKG_SIZE + 3;

	buf_add_u8(b, 0x79); /* end tag (§6.4.2.9); checksum 0: none */
	buf_add_u8(b, 0);
	if (!buf_failed(b))
		le_put16(b->data + head - 2, (uint16_t)(b->len - head));
	aml_close(b, mark);
}

void aml_memory32(struct buf *b, uint32_t base, uint32_t size)
{
	buf_add_u8(b, 0x86); /* 32-bit fixed memory range (§6.4.3.4) */
	buf_add_le16(b, 9);
	buf_add_u8(b, 1); /* read-write */
	buf_add_le32(b, base);
	buf_add_le32(b, size);
}

void aml_io(struct buf *b, uint16_t base, uint8_t len)
{
	buf_add_u8(b, 0x47); /* I/O port descriptor (§6.4.2.5), decodes 16 bits */
	buf_add_u8(b, 1);
	buf_add_le16(b, base);
	buf_add_le16(b, base);
	buf_add_u8(b, 1);
	buf_add_u8(b, len);
}

void aml_irq_edge(struct buf *b, uint32_t gsi)
{
	buf_add_u8(b, 0x89); /* extended interrupt (§6.4.3.6) */
	buf_add_le16(b, 6);
	buf_add_u8(b, 0x03); /* consumer, edge, active high, exclusive */
	buf_add_u8(b, 1);
	buf_add_le32(b, gsi);
}
