/*
 * A writer for the little ACPI Machine Language that the DSDT needs (ACPI 6.5 §20.2). Packages that
 * carry their length are opened with aml_open_* and closed with aml_close in reverse order.
 *
 * Pure. Without memory the buffer says so at the end: buf_failed(). There is no other error.
 */
#ifndef TORPOR_VMM_X86_64_AML_H
#define TORPOR_VMM_X86_64_AML_H

#include "base/buf.h"

struct aml_mark {
	size_t at; /* of the 4-byte PkgLength */
};

/* Names are 4 characters, or a path of them such as "\\_SB_". */
struct aml_mark aml_open_scope(struct buf *b, const char *path);
struct aml_mark aml_open_device(struct buf *b, const char *name);
struct aml_mark aml_open_method(struct buf *b, const char *name);
void aml_close(struct buf *b, struct aml_mark mark);

/* Name (NAME, value) */
void aml_name_int(struct buf *b, const char *name, uint32_t value);
void aml_name_string(struct buf *b, const char *name, const char *value);
void aml_name_eisa(struct buf *b, const char *name, const char *id); /* "PNP0501" */
void aml_name_package(struct buf *b, const char *name, const uint32_t *values, uint8_t count);

void aml_return_package(struct buf *b, const uint32_t *values, uint8_t count);
void aml_notify(struct buf *b, const char *path, uint8_t value);

/* Name (_CRS, ResourceTemplate () { … }) around these: */
struct aml_mark aml_open_resources(struct buf *b);
void aml_memory32(struct buf *b, uint32_t base, uint32_t size);
void aml_io(struct buf *b, uint16_t base, uint8_t len);
void aml_irq_edge(struct buf *b, uint32_t gsi); /* extended, active high, exclusive */
void aml_close_resources(struct buf *b, struct aml_mark mark);

#endif
