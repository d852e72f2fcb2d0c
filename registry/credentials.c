/* See credentials.h. */
#include "registry/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/json.h"
#include "base/num.h"
#include "base/tempfile.h"

#define DOCKER_HUB     "docker.io"
#define DOCKER_HUB_KEY "https://index.docker.io/v1/"
#define HELPER_PREFIX  "docker-credential-"
#define HELPER_MAX     ((size_t)64 << 10)
#define IDENTITY_USER  "<token>"

extern char **environ;

void credentials_wipe(struct credentials *c)
{
	explicit_bzero(c, sizeof(*c));
}

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static bool base64_encode(const char *text, char *out, size_t size)
{
	size_t len = strlen(text), at = 0;

	if ((len + 2) / 3 * 4 >= size)
		return false;
	for (size_t i = 0; i < len; i += 3) {
		uint32_t bits = (uint32_t)(uint8_t)text[i] << 16;

		if (i + 1 < len)
			bits |= (uint32_t)(uint8_t)text[i + 1] << 8;
		if (i + 2 < len)
			bits |= (uint8_t)text[i + 2];
		out[at++] = letters[bits >> 18];
		out[at++] = letters[bits >> 12 & 63];
		out[at++] = letters[bits >> 6 & 63];
		out[at++] = letters[bits & 63];
	}
	for (size_t pad = 0; pad < (3 - len % 3) % 3; pad++)
		out[at - 1 - pad] = '=';
	out[at] = '\0';
	return true;
}

static bool base64_decode(const char *text, char *out, size_t size)
{
	uint32_t bits = 0;
	unsigned have = 0;
	size_t len = 0;

	for (; *text != '\0' && *text != '='; text++) {
		const char *letter = strchr(letters, *text);

		if (letter == NULL)
			return false;
		bits = bits << 6 | (uint32_t)(letter - letters);
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		if (len + 1 >= size || (bits >> have & 255) == 0)
			return false;
		out[len++] = (char)(bits >> have & 255);
	}
	out[len] = '\0';
	return strspn(text, "=") == strlen(text);
}

bool credentials_decode(struct credentials *c, const char *text)
{
	char both[CREDENTIALS_USER + CREDENTIALS_SECRET];
	char *colon;
	bool good = false;

	*c = (struct credentials){0};
	if (base64_decode(text, both, sizeof(both)) && (colon = strchr(both, ':')) != NULL) {
		*colon = '\0';
		good = strlen(both) < sizeof(c->user) && strlen(colon + 1) < sizeof(c->secret);
		if (good) {
			strcpy(c->user, both);
			strcpy(c->secret, colon + 1);
		}
	}
	explicit_bzero(both, sizeof(both));
	return good;
}

bool credentials_basic(const struct credentials *c, char *header, size_t size)
{
	char both[CREDENTIALS_USER + CREDENTIALS_SECRET];
	bool good;

	if (size < sizeof("Basic "))
		return false;
	strcpy(header, "Basic ");
	snprintf(both, sizeof(both), "%s:%s", c->user, c->secret);
	good = base64_encode(both, header + 6, size - 6);
	explicit_bzero(both, sizeof(both));
	return good;
}

/* The files in their order. Returns how many. */
static unsigned auth_files(char files[2][PATH_MAX])
{
	const char *given = getenv("REGISTRY_AUTH_FILE"), *docker = getenv("DOCKER_CONFIG");
	const char *runtime = getenv("XDG_RUNTIME_DIR"), *home = getenv("HOME");
	unsigned count = 0;

	if (given != NULL && given[0] != '\0') {
		snprintf(files[0], PATH_MAX, "%s", given);
		return 1;
	}
	if (runtime != NULL && runtime[0] != '\0')
		snprintf(files[count++], PATH_MAX, "%s/containers/auth.json", runtime);
	if (docker != NULL && docker[0] != '\0')
		snprintf(files[count++], PATH_MAX, "%s/config.json", docker);
	else if (home != NULL && home[0] != '\0')
		snprintf(files[count++], PATH_MAX, "%s/.docker/config.json", home);
	return count;
}

/* *json is NULL when there is no such file. */
static int read_auth_file(const char *path, json_t **json, struct err *err)
{
	cleanup_free char *text = NULL;
	size_t len;
	int ret = io_read_file(path, JSON_MAX_BYTES, &text, &len);

	*json = NULL;
	if (ret == -ENOENT || ret == -ENOTDIR)
		return 0;
	if (ret < 0)
		return err_sys(err, -ret, "read %s", path);
	if (len == 0)
		return 0;
	*json = json_parse((const uint8_t *)text, len, err);
	explicit_bzero(text, len);
	return *json != NULL ? 0 : err_context(err, -EINVAL, "%s", path);
}

static bool helper_is_valid(const char *name)
{
	return name[0] != '\0' && strlen(name) < 64 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
		       strlen(name);
}

/* The helper of a host: "" when there is none. */
static int find_helper(json_t *file, const char *host, char name[64], struct err *err)
{
	const char *text =
		json_string_value(json_object_get(json_object_get(file, "credHelpers"), host));

	name[0] = '\0';
	if (text == NULL)
		text = json_string_value(json_object_get(file, "credsStore"));
	if (text == NULL || text[0] == '\0')
		return 0;
	if (!helper_is_valid(text))
		return err_set(err, ERR_INTEGRITY, "'%.60s' is no name of a credential helper",
			       text);
	strcpy(name, text);
	return 0;
}

/* Start it with its ends of two pipes. */
static int spawn_helper(const char *program, const char *verb, const int in[2], const int out[2],
			pid_t *pid)
{
	char *argv[] = {(char *)program, (char *)verb, NULL};
	posix_spawn_file_actions_t actions;
	int ret = posix_spawn_file_actions_init(&actions);

	if (ret != 0)
		return ret;
	posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
	ret = posix_spawnp(pid, program, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return ret;
}

/* Run docker-credential-NAME VERB with `input`; its output, with a NUL. Returns its exit status. */
static int run_helper(const char *name, const char *verb, const char *input,
		      char output[HELPER_MAX], struct err *err)
{
	int in[2] = {-1, -1}, out[2] = {-1, -1}, status, ret;
	char program[sizeof(HELPER_PREFIX) + 64];
	struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
	int64_t len;
	pid_t pid;

	snprintf(program, sizeof(program), HELPER_PREFIX "%s", name);
	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0) {
		ret = errno;
		cleanup_fd_fn(&in[0]);
		cleanup_fd_fn(&in[1]);
		return err_sys(err, ret, "run %s", program);
	}
	ret = spawn_helper(program, verb, in, out, &pid);
	close(in[0]);
	close(out[1]);
	if (ret != 0) {
		close(in[1]);
		close(out[0]);
		return err_sys(err, ret, "run %s", program);
	}
	/* It may end without having read. */
	sigaction(SIGPIPE, &ignore, &before);
	(void)io_write(in[1], input, strlen(input));
	sigaction(SIGPIPE, &before, NULL);
	close(in[1]);
	len = io_read_upto(out[0], output, HELPER_MAX - 1);
	close(out[0]);
	output[len > 0 ? len : 0] = '\0';
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (len < 0)
		return err_sys(err, (int)-len, "read from %s", program);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static int take_secret(struct credentials *c, const char *user, const char *secret,
		       const char *where, struct err *err)
{
	if (strlen(user) >= sizeof(c->user) || strlen(secret) >= sizeof(c->secret) ||
	    strchr(user, ':') != NULL)
		return err_set(err, ERR_INTEGRITY, "%s: a user name or secret is too long", where);
	strcpy(c->user, user);
	strcpy(c->secret, secret);
	c->identity = strcmp(user, IDENTITY_USER) == 0;
	return 1;
}

static int ask_helper(struct credentials *c, const char *name, const char *key, struct err *err)
{
	cleanup_free char *output = malloc(HELPER_MAX);
	cleanup_json json_t *json = NULL;
	const char *user, *secret;
	int ret;

	if (output == NULL)
		return err_sys(err, ENOMEM, "ask " HELPER_PREFIX "%s", name);
	ret = run_helper(name, "get", key, output, err);
	if (ret < 0)
		return ret;
	if (ret > 0) {
		if (strstr(output, "credentials not found") != NULL)
			return 0;
		output[strcspn(output, "\n")] = '\0';
		return err_set(err, ERR_FAILED, HELPER_PREFIX "%s get: %.200s", name, output);
	}
	json = json_parse((const uint8_t *)output, strlen(output), err);
	if (json == NULL)
		return err_context(err, -EINVAL, HELPER_PREFIX "%s", name);
	ret = json_get_string(json, "Username", &user, err);
	if (ret < 0)
		return err_context(err, ret, HELPER_PREFIX "%s", name);
	ret = json_get_string(json, "Secret", &secret, err);
	if (ret < 0)
		return err_context(err, ret, HELPER_PREFIX "%s", name);
	return secret[0] == '\0' ? 0 : take_secret(c, user, secret, name, err);
}

/* What an entry of `auths` has. */
static int take_entry(struct credentials *c, json_t *entry, const char *key, struct err *err)
{
	const char *auth = json_string_value(json_object_get(entry, "auth"));
	const char *token = json_string_value(json_object_get(entry, "identitytoken"));
	const char *user = json_string_value(json_object_get(entry, "username"));
	const char *password = json_string_value(json_object_get(entry, "password"));

	if (token != NULL && token[0] != '\0')
		return take_secret(c, IDENTITY_USER, token, key, err);
	if (auth != NULL && auth[0] != '\0')
		return credentials_decode(c, auth)
			       ? 1
			       : err_set(err, ERR_INTEGRITY,
					 "auth of %s is no base64 of USER:SECRET", key);
	if (user != NULL && password != NULL)
		return take_secret(c, user, password, key, err);
	return 0;
}

/* The key without the scheme and path that old ones have: https://HOST/v1/. */
static size_t key_prefix(const char *key, const char **start)
{
	const char *scheme = strstr(key, "://");
	const char *path;
	size_t len;

	*start = scheme != NULL ? scheme + 3 : key;
	len = strlen(*start);
	path = strchr(*start, '/');
	if (path != NULL && (scheme != NULL || path[1] == '\0'))
		len = (size_t)(path - *start);
	return len;
}

static bool key_matches(const char *key, const char *whole, size_t *len)
{
	const char *start;

	*len = key_prefix(key, &start);
	return strncmp(whole, start, *len) == 0 && (whole[*len] == '/' || whole[*len] == '\0');
}

static int find_in_auths(struct credentials *c, json_t *file, const char *host,
			 const char *repository, struct err *err)
{
	json_t *auths = json_object_get(file, "auths"), *entry, *best = NULL;
	const char *key, *best_key = NULL;
	char whole[1024];
	size_t best_len = 0, len;

	snprintf(whole, sizeof(whole), "%s/%s", host, repository);
	if (strcmp(host, DOCKER_HUB) == 0 && json_object_get(auths, DOCKER_HUB_KEY) != NULL)
		return take_entry(c, json_object_get(auths, DOCKER_HUB_KEY), DOCKER_HUB_KEY, err);
	json_object_foreach(auths, key, entry)
	{
		if (json_is_object(entry) && key_matches(key, whole, &len) && len > best_len) {
			best = entry;
			best_key = key;
			best_len = len;
		}
	}
	return best != NULL ? take_entry(c, best, best_key, err) : 0;
}

int credentials_find(struct credentials *c, const char *host, const char *repository,
		     struct err *err)
{
	char files[2][PATH_MAX], helper[64];
	unsigned count = auth_files(files);

	*c = (struct credentials){0};
	for (unsigned i = 0; i < count; i++) {
		cleanup_json json_t *file = NULL;
		int ret = read_auth_file(files[i], &file, err);

		if (ret < 0)
			return ret;
		ret = find_helper(file, host, helper, err);
		if (ret < 0)
			return err_context(err, ret, "%s", files[i]);
		if (helper[0] != '\0')
			ret = ask_helper(c, helper,
					 strcmp(host, DOCKER_HUB) == 0 ? DOCKER_HUB_KEY : host,
					 err);
		if (ret == 0)
			ret = find_in_auths(c, file, host, repository, err);
		if (ret != 0)
			return ret < 0 ? err_context(err, ret, "%s", files[i]) : ret;
	}
	return 0;
}

static int make_parent(const char *path, struct err *err)
{
	char folder[PATH_MAX];
	char *slash;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (slash == NULL || slash == folder)
		return 0;
	*slash = '\0';
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "create %s", folder);
	return 0;
}

/* For people, as docker writes it. */
static int write_auth_file(const char *path, const json_t *json, struct err *err)
{
	__attribute__((cleanup(tempfile_close))) struct tempfile file = {.fd = -1, .folder = -1};
	cleanup_free char *text = json_dumps(json, JSON_INDENT(8));
	struct stat st;
	int ret;

	if (text == NULL)
		return err_sys(err, ENOMEM, "write %s", path);
	ret = make_parent(path, err);
	if (ret < 0)
		return ret;
	ret = tempfile_open(&file, path, err);
	if (ret < 0)
		return ret;
	ret = tempfile_write(&file, text, strlen(text), 0, err);
	return ret < 0 ? ret : tempfile_publish(&file, &st, err);
}

static int store_by_helper(const char *name, const char *key, const struct credentials *c,
			   struct err *err)
{
	cleanup_free char *output = malloc(HELPER_MAX), *input = NULL;
	cleanup_json json_t *json = json_pack("{s:s,s:s,s:s}", "ServerURL", key, "Username",
					      c->user, "Secret", c->secret);
	int ret;

	if (json != NULL)
		input = json_dumps(json, JSON_COMPACT);
	if (input == NULL || output == NULL)
		return err_sys(err, ENOMEM, "ask " HELPER_PREFIX "%s", name);
	ret = run_helper(name, "store", input, output, err);
	explicit_bzero(input, strlen(input));
	if (ret <= 0)
		return ret;
	output[strcspn(output, "\n")] = '\0';
	return err_set(err, ERR_FAILED, HELPER_PREFIX "%s store: %.200s", name, output);
}

/* Whether credentials_find() takes the host's credentials from this file, and looks at no later one. A
 * malformed entry ends its search, too. */
static bool is_found_in(json_t *file, const char *host, const char *helper)
{
	cleanup_credentials struct credentials c = {0};

	return helper[0] != '\0' || find_in_auths(&c, file, host, "", NULL) != 0;
}

/* The file that credentials_find() would take the host's from: the last one when none has any. */
static int choose_file(const char *host, char *path, json_t **file, char helper[64],
		       struct err *err)
{
	char files[2][PATH_MAX];
	unsigned count = auth_files(files);

	if (count == 0)
		return err_set(err, ERR_FAILED, "there is no HOME to keep the credentials in");
	for (unsigned i = 0;; i++) {
		int ret = read_auth_file(files[i], file, err);

		if (ret < 0)
			return ret;
		strcpy(path, files[i]);
		ret = find_helper(*file, host, helper, err);
		if (ret < 0)
			return err_context(err, ret, "%s", path);
		if (i + 1 == count || is_found_in(*file, host, helper))
			return 0;
		json_decref(*file);
		*file = NULL;
	}
}

/* Whether the key is of this host: of all of it, or, where `parts` says so, of a repository there. */
static bool key_is_of(const char *key, const char *host, bool parts)
{
	const char *start;
	size_t len = key_prefix(key, &start), host_len = strlen(host);

	return strcmp(key, host) == 0 ||
	       (strcmp(host, DOCKER_HUB) == 0 && strcmp(key, DOCKER_HUB_KEY) == 0) ||
	       (len >= host_len && strncmp(start, host, host_len) == 0 &&
		(len == host_len || (parts && start[host_len] == '/')));
}

/* Returns how many entries that were. */
static unsigned delete_keys(json_t *auths, const char *host, bool parts)
{
	unsigned deleted = 0;
	json_t *entry;
	const char *key;
	void *next;

	json_object_foreach_safe(auths, next, key, entry)
	{
		if (key_is_of(key, host, parts) && json_object_del(auths, key) == 0)
			deleted++;
	}
	return deleted;
}

int credentials_store(const char *host, const struct credentials *c, char *path, struct err *err)
{
	char helper[64], header[HELPER_MAX / 4];
	cleanup_json json_t *file = NULL;
	const char *key = strcmp(host, DOCKER_HUB) == 0 ? DOCKER_HUB_KEY : host;
	json_t *auths;
	int ret = choose_file(host, path, &file, helper, err);

	if (ret < 0)
		return ret;
	if (helper[0] != '\0') {
		snprintf(path, PATH_MAX, HELPER_PREFIX "%s", helper);
		return store_by_helper(helper, key, c, err);
	}
	if (file == NULL)
		file = json_object();
	auths = json_object_get(file, "auths");
	if (!json_is_object(auths)) {
		auths = json_object();
		json_object_set_new(file, "auths", auths);
	}
	/* Of two for the same host the first one in the file would be found. */
	(void)delete_keys(auths, host, false);
	if (!credentials_basic(c, header, sizeof(header)) ||
	    json_object_set_new(auths, key, json_pack("{s:s}", "auth", header + 6)) < 0)
		return err_sys(err, ENOMEM, "write %s", path);
	explicit_bzero(header, sizeof(header));
	return write_auth_file(path, file, err);
}

static int erase_from(const char *path, const char *host, const char *key, struct err *err)
{
	cleanup_free char *output = malloc(HELPER_MAX);
	cleanup_json json_t *file = NULL;
	char helper[64];
	int ret = read_auth_file(path, &file, err), erased = 0;

	if (ret < 0)
		return ret;
	ret = find_helper(file, host, helper, err);
	if (ret < 0)
		return ret;
	if (output == NULL)
		return err_sys(err, ENOMEM, "read %s", path);
	if (helper[0] != '\0') {
		ret = run_helper(helper, "erase", key, output, err);
		if (ret < 0)
			return ret;
		erased = ret == 0;
	}
	if (delete_keys(json_object_get(file, "auths"), host, true) == 0)
		return erased;
	ret = write_auth_file(path, file, err);
	return ret < 0 ? ret : 1;
}

int credentials_erase(const char *host, struct err *err)
{
	const char *key = strcmp(host, DOCKER_HUB) == 0 ? DOCKER_HUB_KEY : host;
	char files[2][PATH_MAX];
	unsigned count = auth_files(files);
	int erased = 0;

	for (unsigned i = 0; i < count; i++) {
		int ret = erase_from(files[i], host, key, err);

		if (ret < 0)
			return err_context(err, ret, "%s", files[i]);
		erased |= ret;
	}
	return erased;
}
