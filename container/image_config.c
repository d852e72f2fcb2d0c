/* See image_config.h. */
#include "container/image_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/num.h"

#define MEMBER(name) offsetof(struct image_config, name)

static const struct {
	const char *name;
	size_t offset;
} texts[] = {
	{"User", MEMBER(user)},
	{"WorkingDir", MEMBER(workdir)},
	{"StopSignal", MEMBER(stop_signal)},
};

static const struct {
	const char *name;
	size_t offset;
} lists[] = {
	{"Entrypoint", MEMBER(entrypoint)},
	{"Cmd", MEMBER(cmd)},
	{"Env", MEMBER(env)},
};

/* Go's map[string]struct{}: the keys are the list. */
static const struct {
	const char *name;
	size_t offset;
} sets[] = {
	{"ExposedPorts", MEMBER(ports)},
	{"Volumes", MEMBER(volumes)},
};

static void *member(const struct image_config *config, size_t offset)
{
	return (uint8_t *)config + offset;
}

static void free_strings(struct image_strings *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->item[i]);
	free(list->item);
}

void image_config_free(struct image_config *config)
{
	free(config->architecture);
	free(config->os);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		free(*(char **)member(config, texts[i].offset));
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		free_strings(member(config, lists[i].offset));
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		free_strings(member(config, sets[i].offset));
	free_strings(&config->health);
	free_strings(&config->diff_ids);
	for (size_t i = 0; i < config->labels; i++) {
		free(config->label[i].key);
		free(config->label[i].value);
	}
	free(config->label);
	*config = (struct image_config){0};
}

static int no_memory(struct err *err)
{
	return err_sys(err, ENOMEM, "read the config of an image");
}

static int wrong(struct err *err, const char *name, const char *what)
{
	return err_set(err, ERR_INTEGRITY, "its member \"%s\" is not %s", name, what);
}

/* Writers in Go say null for what is not there. */
static json_t *get(json_t *from, const char *name)
{
	json_t *found = json_object_get(from, name);

	return json_is_null(found) ? NULL : found;
}

static int take_text(char **out, json_t *from, const char *name, struct err *err)
{
	json_t *found = get(from, name);

	if (found != NULL && !json_is_string(found))
		return wrong(err, name, "a string");
	*out = strdup(found != NULL ? json_string_value(found) : "");
	return *out != NULL ? 0 : no_memory(err);
}

static int begin_strings(struct image_strings *list, size_t count, const char *name,
			 struct err *err)
{
	if (count > IMAGE_CONFIG_STRINGS)
		return err_set(err, ERR_INTEGRITY, "its member \"%s\" has more than %u items", name,
			       IMAGE_CONFIG_STRINGS);
	if (count == 0)
		return 0;
	list->item = calloc(count + 1, sizeof(list->item[0]));
	return list->item != NULL ? 0 : no_memory(err);
}

static int add_string(struct image_strings *list, const char *text, struct err *err)
{
	char *copy = strdup(text);

	if (copy == NULL)
		return no_memory(err);
	list->item[list->count++] = copy;
	return 0;
}

static int take_list(struct image_strings *list, json_t *from, const char *name, struct err *err)
{
	json_t *found = get(from, name), *item;
	size_t index;
	int ret;

	if (found == NULL)
		return 0;
	if (!json_is_array(found))
		return wrong(err, name, "an array of strings");
	ret = begin_strings(list, json_array_size(found), name, err);
	if (ret < 0)
		return ret;
	json_array_foreach(found, index, item)
	{
		if (!json_is_string(item))
			return wrong(err, name, "an array of strings");
		ret = add_string(list, json_string_value(item), err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int take_set(struct image_strings *list, json_t *from, const char *name, struct err *err)
{
	json_t *found = get(from, name), *value;
	const char *key;
	int ret;

	if (found == NULL)
		return 0;
	if (!json_is_object(found))
		return wrong(err, name, "an object");
	ret = begin_strings(list, json_object_size(found), name, err);
	if (ret < 0)
		return ret;
	json_object_foreach(found, key, value)
	{
		ret = add_string(list, key, err);
		if (ret < 0)
			return ret;
	}
	if (list->count > 0)
		qsort(list->item, list->count, sizeof(list->item[0]), by_text);
	return 0;
}

static int by_key(const void *a, const void *b)
{
	const struct image_label *x = a, *y = b;

	return strcmp(x->key, y->key);
}

static int add_label(struct image_config *config, const char *key, json_t *value, struct err *err)
{
	struct image_label *label = &config->label[config->labels];

	if (!json_is_string(value))
		return wrong(err, "Labels", "an object of strings");
	config->labels++;
	label->key = strdup(key);
	label->value = strdup(json_string_value(value));
	return label->key != NULL && label->value != NULL ? 0 : no_memory(err);
}

static int take_labels(struct image_config *config, json_t *from, struct err *err)
{
	json_t *found = get(from, "Labels"), *value;
	const char *key;

	if (found == NULL)
		return 0;
	if (!json_is_object(found) || json_object_size(found) > IMAGE_CONFIG_STRINGS)
		return wrong(err, "Labels", "an object of a few strings");
	config->label = calloc(json_object_size(found) + 1, sizeof(config->label[0]));
	if (config->label == NULL)
		return no_memory(err);
	json_object_foreach(found, key, value)
	{
		int ret = add_label(config, key, value, err);

		if (ret < 0)
			return ret;
	}
	qsort(config->label, config->labels, sizeof(config->label[0]), by_key);
	return 0;
}

static int take_process(struct image_config *config, json_t *from, struct err *err)
{
	int ret;

	json_t *health = get(from, "Healthcheck");

	if (from != NULL && !json_is_object(from))
		return wrong(err, "config", "an object");
	if (health != NULL && !json_is_object(health))
		return wrong(err, "Healthcheck", "an object");
	ret = take_list(&config->health, health, "Test", err);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		ret = take_text(member(config, texts[i].offset), from, texts[i].name, err);
		if (ret < 0)
			return ret;
	}
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		ret = take_list(member(config, lists[i].offset), from, lists[i].name, err);
		if (ret < 0)
			return ret;
	}
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		ret = take_set(member(config, sets[i].offset), from, sets[i].name, err);
		if (ret < 0)
			return ret;
	}
	return take_labels(config, from, err);
}

static int take_all(struct image_config *config, json_t *json, struct err *err)
{
	json_t *rootfs = get(json, "rootfs");
	int ret = take_text(&config->architecture, json, "architecture", err);

	if (ret < 0)
		return ret;
	ret = take_text(&config->os, json, "os", err);
	if (ret < 0)
		return ret;
	if (rootfs != NULL && !json_is_object(rootfs))
		return wrong(err, "rootfs", "an object");
	ret = take_list(&config->diff_ids, rootfs, "diff_ids", err);
	if (ret < 0)
		return ret;
	return take_process(config, get(json, "config"), err);
}

int image_config_parse(struct image_config *config, const uint8_t *text, size_t len,
		       struct err *err)
{
	cleanup_json json_t *json = json_parse(text, len, err);
	int ret;

	*config = (struct image_config){0};
	if (json == NULL)
		return err_context(err, -EINVAL, "the config of the image");
	ret = take_all(config, json, err);
	if (ret < 0) {
		image_config_free(config);
		return err_context(err, ret, "the config of the image");
	}
	return 0;
}

int image_config_empty(struct image_config *config, struct err *err)
{
	return image_config_parse(config, (const uint8_t *)"{}", 2, err);
}

static json_t *write_list(const struct image_strings *list)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++)
		json_array_append_new(array, json_string(list->item[i]));
	return array;
}

static json_t *write_set(const struct image_strings *list)
{
	json_t *object = json_object();

	for (size_t i = 0; i < list->count; i++)
		json_object_set_new(object, list->item[i], json_object());
	return object;
}

static json_t *write_process(const struct image_config *config)
{
	json_t *json = json_object(), *label = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		json_object_set_new(json, texts[i].name,
				    json_string(*(char **)member(config, texts[i].offset)));
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		json_object_set_new(json, lists[i].name,
				    write_list(member(config, lists[i].offset)));
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		json_object_set_new(json, sets[i].name, write_set(member(config, sets[i].offset)));
	for (size_t i = 0; i < config->labels; i++)
		json_object_set_new(label, config->label[i].key,
				    json_string(config->label[i].value));
	json_object_set_new(json, "Labels", label);
	if (config->health.count > 0)
		json_object_set_new(json, "Healthcheck",
				    json_pack("{s:o}", "Test", write_list(&config->health)));
	return json;
}

int image_config_write(const struct image_config *config, struct buf *out, struct err *err)
{
	cleanup_json json_t *json =
		json_pack("{s:s, s:s, s:o, s:{s:s, s:o}}", "architecture", config->architecture,
			  "os", config->os, "config", write_process(config), "rootfs", "type",
			  "layers", "diff_ids", write_list(&config->diff_ids));

	return json != NULL ? json_write(json, out, err)
			    : err_sys(err, ENOMEM, "write the config of an image");
}
