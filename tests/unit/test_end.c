/* Who waits for the end of a machine waits for its process (host/client.h). */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/unix_socket.h"
#include "host/claim.h"
#include "host/client.h"
#include "host/paths.h"
#include "tests/unit/claims.h"

#define NAME "ending"

static int hold; /* while the test has it open, the process lives */
static pid_t machine;

/* Like a machine that ends: the answer, the name free, and then some time until the process is gone. */
static void end_slowly(int held)
{
	struct claim claim;
	struct path path;
	char request[256];
	int listener, fd;

	if (claim_name(&claim, NAME, NULL) < 0 || path_runtime(&path, NAME, "control", NULL) < 0)
		_exit(1);
	listener = unix_listen(path.text, NULL);
	(void)poll(&(struct pollfd){.fd = listener, .events = POLLIN}, 1, -1);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0 || read(fd, request, sizeof(request)) <= 0)
		_exit(1);
	dprintf(fd, "{\"ok\":true}\n");
	claim_release(&claim);
	close(fd);
	(void)!read(held, request, 1);
	_exit(0);
}

static void set_up(void)
{
	int ends[2];

	claims_begin("other");
	cr_assert(eq(i32, pipe(ends), 0));
	hold = ends[1];
	cr_assert(ge(i32, machine = fork(), 0));
	if (machine == 0) {
		close(ends[1]);
		end_slowly(ends[0]);
	}
	close(ends[0]);
	while (claim_holder(CLAIM_MACHINE, NAME) != machine)
		usleep(1000);
}

static void tear_down(void)
{
	close(hold);
	cr_expect(eq(i32, waitpid(machine, NULL, 0), machine));
	claims_end();
}

TestSuite(end, .init = set_up, .fini = tear_down);

Test(end, of_a_machine_is_that_of_its_process)
{
	struct client client;
	struct err err = {0};
	siginfo_t info;

	cr_assert(eq(i32, client_open(&client, NAME, &err), 0), "%s", err.text);
	cr_expect(eq(i32, client_wait(&client, 500, &err), -ETIMEDOUT));
	cr_expect(ne(ptr, strstr(err.text, "wait for the process of machine ending: "), NULL), "%s",
		  err.text);
	cr_expect(eq(i32, client_kill(&client, &err), 0), "%s", err.text);
	cr_expect(eq(i32, waitid(P_PID, (id_t)machine, &info, WEXITED | WNOWAIT | WNOHANG), 0));
	cr_expect(eq(i32, info.si_pid, machine));
	client_close(&client);
}
