/* See machine_env.h. */
#include "cli/machine_env.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/json.h"

/* Takes `text`; NULL: there was no memory for it. The NULL at the end stays behind it. */
static int append(struct machine_env *env, char *text)
{
	char **grown = text != NULL ? array_grow(env->text, env->n + 1, sizeof(*grown)) : NULL;

	if (grown == NULL) {
		free(text);
		return -ENOMEM;
	}
	env->text = grown;
	grown[env->n++] = text;
	grown[env->n] = NULL;
	return 0;
}

int machine_env_set(struct machine_env *env, const char *text, struct err *err)
{
	size_t key = (size_t)(strchrnul(text, '=') - text);
	char *copy = strdup(text);
	int ret;

	for (size_t i = 0; copy != NULL && i < env->n; i++) {
		if (strncmp(env->text[i], text, key) == 0 && env->text[i][key] == '=') {
			free(env->text[i]);
			env->text[i] = copy;
			return 0;
		}
	}
	ret = append(env, copy);
	return ret < 0 ? err_sys(err, -ret, "environment of a command") : 0;
}

static int set_port(struct machine_env *env, const json_t *port, struct err *err)
{
	char text[64];

	snprintf(text, sizeof(text), "TORPOR_PORT_%d=%d",
		 (int)json_integer_value(json_object_get(port, "guest")),
		 (int)json_integer_value(json_object_get(port, "host")));
	return machine_env_set(env, text, err);
}

static int fill(struct machine_env *env, const char *name, const json_t *ports, struct err *err)
{
	char text[sizeof("TORPOR_NAME=") + sizeof(((struct client *)NULL)->name)];
	json_t *port;
	size_t i;
	int ret;

	for (char *const *at = environ; *at != NULL; at++) {
		ret = append(env, strdup(*at));
		if (ret < 0)
			return err_sys(err, -ret, "environment of a command");
	}
	snprintf(text, sizeof(text), "TORPOR_NAME=%s", name);
	ret = machine_env_set(env, text, err);
	if (ret < 0)
		return ret;
	json_array_foreach(ports, i, port)
	{
		ret = set_port(env, port, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int machine_env_make(struct machine_env *env, struct client *client, struct err *err)
{
	cleanup_json json_t *reply = NULL;
	int ret = client_do(client, "ports", CLIENT_FOREVER, &reply, err);

	if (ret == 0)
		ret = fill(env, client->name, json_object_get(reply, "ports"), err);
	if (ret < 0)
		machine_env_free(env);
	return ret;
}

void machine_env_free(struct machine_env *env)
{
	for (size_t i = 0; i < env->n; i++)
		free(env->text[i]);
	free(env->text);
	*env = (struct machine_env){0};
}
