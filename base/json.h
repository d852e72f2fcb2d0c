/*
 * Reading JSON strictly, on jansson: members are taken by name and type, within bounds, and unknown
 * members are refused. Pure.
 *
 * The functions that return int return 0, or -EINVAL with ERR_INTEGRITY, which names the member;
 * json_write() has an error of its own.
 */
#ifndef TORPOR_BASE_JSON_H
#define TORPOR_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define JSON_MAX_BYTES ((size_t)4 << 20)

#define cleanup_json __attribute__((cleanup(json_cleanup)))

/* Parse all of the text as one object. Returns a new reference, or NULL with ERR_INTEGRITY: not
 * JSON, not an object, a member that is there twice, or no memory. */
json_t *json_parse(const uint8_t *text, size_t len, struct err *err);
/* Append the text: sorted keys, no spaces. Returns 0 or -ENOMEM. */
int json_write(const json_t *json, struct buf *out, struct err *err);

/* Take a member; *out is borrowed. One that is missing, of another type or out of range is an
 * error.
 */
int json_get_object(json_t *from, const char *name, json_t **out, struct err *err);
int json_get_array(json_t *from, const char *name, json_t **out, struct err *err);
int json_get_string(json_t *from, const char *name, const char **out, struct err *err);
int json_get_bool(json_t *from, const char *name, bool *out, struct err *err);
int json_get_uint(json_t *from, const char *name, uint64_t min, uint64_t max, uint64_t *out,
		  struct err *err);
/* Copy a string of printable ASCII into a char array of `size` bytes; a longer one is an error. */
int json_get_ascii(json_t *from, const char *name, char *out, size_t size, struct err *err);

/* Refuse members that are not in the NULL-ended list. */
int json_only(json_t *from, const char *const *names, struct err *err);

static inline void json_cleanup(json_t **json)
{
	json_decref(*json);
}

#endif
