/* A small appliance for tests of the file format, in a folder of its own. */
#ifndef TORPOR_TESTS_SAMPLE_H
#define TORPOR_TESTS_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "format/archive.h"
#include "format/archive_writer.h"

#define SAMPLE_MEMORY (40 * (uint64_t)FRAME_SIZE)
#define SAMPLE_DISK   (5 * (uint64_t)FRAME_SIZE - 512)

/* An empty folder in /tmp that becomes the working directory and XDG_CACHE_HOME of the test. */
void sample_begin(void);
/* Remove the folder. */
void sample_end(void);

/* What frame `index` of an image holds: zeros for every third, else bytes that depend on both. */
void sample_frame(unsigned image, uint64_t index, uint8_t out[FRAME_SIZE]);

/* The description that goes with what sample_write() puts into a file. */
void sample_appliance(struct appliance *a, bool live);

/* Write a live appliance: state, memory, two equal disks, an overlay over the first, a kernel. */
int sample_write(const char *path, struct err *err);
/* The same, packed at this level. */
int sample_write_packed(const char *path, int level, struct err *err);

/* Put the same into a writer that is open, and publish. */
int sample_fill(struct archive_writer *w, struct err *err);

/* Run a shell command; 0 when it succeeds. */
int sample_shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Unpack a file into a folder and run Python statements (without double quotes) over its manifest m
 * and config c: role(NAME) is a layer, drop(NAME, …) removes some, add(ROLE, TYPE, BYTES, optional)
 * appends one, content(DIGEST) is what a blob holds and blob(BYTES) describes a new one. */
void sample_edit(const char *path, const char *folder, const char *statements);

/* Open and verify. */
int sample_check(const char *path, struct err *err);

/* A folder that is an OCI layout with this config and no layers. */
void sample_folder(const char *path, const char *config_type, const char *config);

#endif
