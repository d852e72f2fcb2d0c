/* Clients of a machine or LAN that takes connections and says nothing (host/client.h). */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/num.h"
#include "base/unix_socket.h"
#include "host/client.h"
#include "host/paths.h"
#include "instance/record.h"
#include "tests/unit/claims.h"

#define NAME "web"

static int listener = -1;
static unsigned told;
static char line[512];

static void note(const char *text)
{
	told++;
	snprintf(line, sizeof(line), "%s", text);
}

static void set_up(void)
{
	claims_begin(NAME);
	client_on_silence(note);
}

static void tear_down(void)
{
	close(listener);
	claims_end();
}

TestSuite(silence, .init = set_up, .fini = tear_down);

static void listen_at(int (*path_of)(struct path *path, const char *name, const char *file,
				     struct err *err))
{
	struct path path;

	cr_assert(eq(i32, path_of(&path, NAME, "control", NULL), 0));
	cr_assert(ge(i32, listener = unix_listen(path.text, NULL), 0));
}

Test(silence, of_a_machine_is_told_once_and_ends_at_the_deadline)
{
	struct client client;
	struct err err = {0};

	listen_at(path_runtime);
	cr_assert(eq(i32, client_open(&client, NAME, &err), 0), "%s", err.text);
	cr_expect(eq(i32, client_do(&client, "pause", 4000, NULL, &err), -ETIMEDOUT));
	cr_expect(eq(u32, told, 1));
	cr_expect(ne(ptr, strstr(line, "web does not answer (process "), NULL), "%s", line);
	cr_expect(ne(ptr, strstr(line, "torpor kill web ends it"), NULL), "%s", line);
	cr_expect(eq(str, err.text, line));
	cr_expect(eq(i32, client_do(&client, "pause", 4000, NULL, &err), -ETIMEDOUT));
	cr_expect(eq(u32, told, 1));
	client_close(&client);
}

Test(silence, of_a_lan_names_the_verb_that_ends_it)
{
	struct client client;
	struct err err = {0};

	listen_at(path_lan);
	cr_assert(eq(i32, client_open_lan(&client, NAME, &err), 0), "%s", err.text);
	cr_expect(eq(i32, client_do(&client, "stats", 500, NULL, &err), -ETIMEDOUT));
	cr_expect(eq(u32, told, 0), "the error says the same");
	cr_expect(ne(ptr, strstr(err.text, "LAN web does not answer (process "), NULL), "%s",
		  err.text);
	cr_expect(ne(ptr, strstr(err.text, "torpor lan rm --force web ends it"), NULL), "%s",
		  err.text);
	client_close(&client);
}

Test(silence, of_a_machine_is_a_state_of_its_own)
{
	json_t *status;

	status = machine_status(NAME);
	cr_expect(eq(str, (char *)protocol_text(status, "state"), (char *)"busy"));
	json_decref(status);
	listen_at(path_runtime);
	status = machine_status(NAME);
	cr_expect(eq(str, (char *)protocol_text(status, "state"), (char *)"not-answering"));
	cr_expect(eq(i32, (int)json_integer_value(json_object_get(status, "pid")), (int)getpid()));
	json_decref(status);
}

/* Like a machine that is saving: "status" is answered, "save" later. */
static void *answer_status_alone(void *opaque)
{
	int fd[2] = {-1, -1};
	char request[256];

	(void)opaque;
	for (int i = 0; i < 2; i++) {
		while ((fd[i] = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0)
			usleep(1000);
		if (read(fd[i], request, sizeof(request)) > 0 && strstr(request, "status") != NULL)
			dprintf(fd[i], "{\"ok\":true}\n");
	}
	sleep(1);
	dprintf(fd[0], "{\"ok\":true}\n");
	close(fd[0]);
	close(fd[1]);
	return NULL;
}

Test(silence, of_a_machine_that_answers_others_is_not_told)
{
	struct client client;
	struct err err = {0};
	pthread_t thread;

	listen_at(path_runtime);
	cr_assert(eq(i32, client_open(&client, NAME, &err), 0), "%s", err.text);
	cr_assert(eq(i32, pthread_create(&thread, NULL, answer_status_alone, NULL), 0));
	cr_expect(eq(i32, client_do(&client, "save", CLIENT_FOREVER, NULL, &err), 0), "%s",
		  err.text);
	cr_expect(eq(u32, told, 0), "%s", line);
	pthread_join(thread, NULL);
	client_close(&client);
}
