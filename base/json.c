/* Strict JSON; see json.h. No state. */
#include "base/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

json_t *json_parse(const uint8_t *text, size_t len, struct err *err)
{
	json_error_t problem;
	json_t *json = json_loadb((const char *)text, len, JSON_REJECT_DUPLICATES, &problem);

	if (json == NULL) {
		err_set(err, ERR_INTEGRITY, "not JSON: %s", problem.text);
	} else if (!json_is_object(json)) {
		err_set(err, ERR_INTEGRITY, "not a JSON object");
		json_decref(json);
		json = NULL;
	}
	return json;
}

int json_write(const json_t *json, struct buf *out, struct err *err)
{
	char *text = json_dumps(json, JSON_SORT_KEYS | JSON_COMPACT);

	if (text == NULL)
		return err_sys(err, ENOMEM, "write JSON");
	buf_add(out, text, strlen(text));
	free(text);
	return buf_failed(out) ? err_sys(err, ENOMEM, "write JSON") : 0;
}

static int wrong(struct err *err, const char *name, const char *what)
{
	return err_set(err, ERR_INTEGRITY, "the member \"%s\" is missing or %s", name, what);
}

int json_get_object(json_t *from, const char *name, json_t **out, struct err *err)
{
	*out = json_object_get(from, name);
	return json_is_object(*out) ? 0 : wrong(err, name, "not an object");
}

int json_get_array(json_t *from, const char *name, json_t **out, struct err *err)
{
	*out = json_object_get(from, name);
	return json_is_array(*out) ? 0 : wrong(err, name, "not an array");
}

int json_get_string(json_t *from, const char *name, const char **out, struct err *err)
{
	*out = json_string_value(json_object_get(from, name));
	return *out != NULL ? 0 : wrong(err, name, "not a string");
}

int json_get_bool(json_t *from, const char *name, bool *out, struct err *err)
{
	json_t *member = json_object_get(from, name);

	*out = json_is_true(member);
	return json_is_boolean(member) ? 0 : wrong(err, name, "not a boolean");
}

int json_get_uint(json_t *from, const char *name, uint64_t min, uint64_t max, uint64_t *out,
		  struct err *err)
{
	json_t *member = json_object_get(from, name);
	json_int_t value = json_integer_value(member);

	*out = 0;
	if (!json_is_integer(member) || value < 0 || (uint64_t)value < min || (uint64_t)value > max)
		return wrong(err, name, "not a number in range");
	*out = (uint64_t)value;
	return 0;
}

int json_get_ascii(json_t *from, const char *name, char *out, size_t size, struct err *err)
{
	const char *text;
	int ret = json_get_string(from, name, &text, err);

	if (ret < 0)
		return ret;
	if (strlen(text) >= size)
		return wrong(err, name, "too long");
	for (const char *p = text; *p != '\0'; p++) {
		if (*p < ' ' || *p > '~')
			return wrong(err, name, "not printable ASCII");
	}
	strcpy(out, text);
	return 0;
}

static bool listed(const char *const *names, const char *name)
{
	for (; *names != NULL; names++) {
		if (strcmp(*names, name) == 0)
			return true;
	}
	return false;
}

int json_only(json_t *from, const char *const *names, struct err *err)
{
	const char *name;
	json_t *member;

	json_object_foreach(from, name, member)
	{
		if (!listed(names, name))
			return err_set(err, ERR_INTEGRITY, "the member \"%.40s\" is unknown", name);
	}
	return 0;
}
