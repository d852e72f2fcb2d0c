/* See local_agent.h. */
#include "tests/unit/local_agent.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "format/crypto/base64.h"

static size_t local_take(struct chardev *c, const uint8_t *data, size_t len)
{
	struct local_agent *a = container_of(c, struct local_agent, port);

	if (!a->open)
		return 0;
	buf_add(&a->heard, data, len);
	timer_set(&a->timer, 1);
	return len;
}

static bool local_is_open(const struct chardev *c)
{
	return container_of(c, const struct local_agent, port)->open;
}

static uint8_t *decoded(const json_t *arguments, const char *member, size_t *len)
{
	const char *text = json_string_value(json_object_get(arguments, member));
	size_t text_len = text != NULL ? strlen(text) : 0;
	uint8_t *data = malloc(text_len + 1);

	*len = text_len / 4 * 3;
	for (size_t i = 1; i <= 2 && i < text_len && text[text_len - i] == '='; i++)
		(*len)--;
	if (text != NULL)
		cr_assert(base64_decode(text, text_len, data, *len));
	return data;
}

static json_t *failed(const char *why)
{
	return json_pack("{s:{s:s,s:s}}", "error", "class", "GenericError", "desc", why);
}

static json_t *local_exec(struct local_agent *a, const json_t *arguments)
{
	const json_t *arg = json_object_get(arguments, "arg");
	char *argv[8] = {(char *)json_string_value(json_object_get(arguments, "path"))};
	size_t len;
	uint8_t *input = decoded(arguments, "input-data", &len);
	int ends[2];

	for (size_t i = 0; i < json_array_size(arg) && i < 6; i++)
		argv[i + 1] = (char *)json_string_value(json_array_get(arg, i));
	a->err_fd = memfd_create("stderr", MFD_CLOEXEC);
	cr_assert(eq(int, pipe(ends), 0));
	a->pid = fork();
	if (a->pid == 0) {
		dup2(ends[0], 0);
		dup2(a->err_fd, 2);
		for (int fd = 3; fd < 1024; fd++)
			close(fd);
		execv(argv[0], argv);
		_exit(127);
	}
	close(ends[0]);
	cr_assert(eq(sz, (size_t)write(ends[1], input, len), len));
	close(ends[1]);
	free(input);
	return json_pack("{s:{s:i}}", "return", "pid", (int)a->pid);
}

static json_t *local_status(struct local_agent *a)
{
	char said[256], text[BASE64_LEN(sizeof(said)) + 1];
	ssize_t len;

	if (a->pid > 0 && waitpid(a->pid, &a->status, WNOHANG) == a->pid)
		a->pid = -1;
	if (a->pid > 0)
		return json_pack("{s:{s:b}}", "return", "exited", 0);
	len = pread(a->err_fd, said, sizeof(said), 0);
	base64_encode(said, len > 0 ? (size_t)len : 0, text);
	return json_pack("{s:{s:b,s:i,s:s}}", "return", "exited", 1, "exitcode",
			 WEXITSTATUS(a->status), "err-data", text);
}

static json_t *local_open_file(struct local_agent *a, const json_t *arguments)
{
	size_t handle = 1;

	while (a->file[handle] != NULL)
		cr_assert(lt(sz, ++handle, LOCAL_FILES));
	a->file[handle] = fopen(json_string_value(json_object_get(arguments, "path")),
				json_string_value(json_object_get(arguments, "mode")));
	if (a->file[handle] == NULL)
		return failed("failed to open file: No such file or directory");
	return json_pack("{s:i}", "return", (int)handle);
}

static FILE **handle_of(struct local_agent *a, const json_t *arguments)
{
	json_int_t handle = json_integer_value(json_object_get(arguments, "handle"));

	cr_assert(lt(i64, handle, LOCAL_FILES));
	return &a->file[handle];
}

static json_t *local_read(struct local_agent *a, const json_t *arguments)
{
	size_t count = (size_t)json_integer_value(json_object_get(arguments, "count"));
	FILE *file = *handle_of(a, arguments);
	uint8_t *data = malloc(count);
	char *text = malloc(BASE64_LEN(count) + 1);
	size_t got = fread(data, 1, count, file);
	bool eof = feof(file);
	json_t *reply;

	clearerr(file);
	base64_encode(data, got, text);
	reply = json_pack("{s:{s:I,s:s,s:b}}", "return", "count", (json_int_t)got, "buf-b64", text,
			  "eof", (int)eof);
	free(data);
	free(text);
	return reply;
}

static json_t *local_answer(struct local_agent *a, const char *command, const json_t *arguments)
{
	size_t len;

	if (strcmp(command, "guest-sync-delimited") == 0)
		return json_pack("{s:O}", "return", json_object_get(arguments, "id"));
	if (strcmp(command, "guest-exec") == 0)
		return local_exec(a, arguments);
	if (strcmp(command, "guest-exec-status") == 0)
		return local_status(a);
	if (strcmp(command, "guest-file-open") == 0)
		return local_open_file(a, arguments);
	if (*handle_of(a, arguments) == NULL)
		return failed("no such handle");
	if (strcmp(command, "guest-file-read") == 0)
		return local_read(a, arguments);
	if (strcmp(command, "guest-file-write") == 0) {
		uint8_t *data = decoded(arguments, "buf-b64", &len);

		len = fwrite(data, 1, len, *handle_of(a, arguments));
		free(data);
		return json_pack("{s:{s:I,s:b}}", "return", "count", (json_int_t)len, "eof", 0);
	}
	if (strcmp(command, "guest-file-flush") == 0) {
		fflush(*handle_of(a, arguments));
	} else {
		cr_assert_str_eq(command, "guest-file-close");
		fclose(*handle_of(a, arguments));
		*handle_of(a, arguments) = NULL;
	}
	return json_pack("{s:{}}", "return");
}

static void local_say(struct local_agent *a, const char *text)
{
	a->port.output(a->port.opaque, (const uint8_t *)text, strlen(text));
}

static void local_handle(struct local_agent *a, char *line)
{
	bool delimited = (uint8_t)line[0] == 0xff;
	json_t *question = json_loads(line + delimited, 0, NULL), *reply;
	const char *command = json_string_value(json_object_get(question, "execute"));
	char *text = NULL;

	cr_assert_not_null(command);
	a->asked++;
	if (a->lie != NULL && !delimited)
		text = a->lie(command);
	if (text == NULL) {
		reply = local_answer(a, command, json_object_get(question, "arguments"));
		text = json_dumps(reply, JSON_COMPACT);
		json_decref(reply);
	}
	json_decref(question);
	if (delimited)
		local_say(a, "\xff");
	local_say(a, text);
	local_say(a, "\n");
	free(text);
}

static void on_local_timer(void *opaque)
{
	struct local_agent *a = opaque;
	struct buf heard = a->heard;
	char *rest, *line;

	if (a->mute || !a->open || heard.len == 0 || heard.data[heard.len - 1] != '\n')
		return;
	a->heard = (struct buf){0};
	heard.data[heard.len - 1] = '\0';
	rest = (char *)heard.data;
	while ((line = strsep(&rest, "\n")) != NULL)
		local_handle(a, line);
	buf_free(&heard);
}

void local_agent_init(struct local_agent *a, struct loop *loop)
{
	struct err err;

	*a = (struct local_agent){
		.port = {.input = local_take, .is_open = local_is_open},
		.loop = loop,
		.timer = TIMER_CLOSED,
		.pid = -1,
		.err_fd = -1,
	};
	cr_assert(eq(int, timer_open(&a->timer, loop, on_local_timer, a, &err), 0));
}

void local_agent_open(struct local_agent *a, bool open)
{
	a->open = open;
	buf_free(&a->heard);
	for (size_t i = 0; i < LOCAL_FILES && !open; i++) {
		if (a->file[i] != NULL)
			fclose(a->file[i]);
		a->file[i] = NULL;
	}
	a->port.opened(a->port.opaque, open);
}

void local_agent_free(struct local_agent *a)
{
	timer_close(&a->timer);
	buf_free(&a->heard);
	for (size_t i = 0; i < LOCAL_FILES; i++) {
		if (a->file[i] != NULL)
			fclose(a->file[i]);
	}
}
