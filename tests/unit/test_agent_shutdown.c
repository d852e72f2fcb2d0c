/* A guest is switched off by its agent, now or once that answers. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest/agent_shutdown.h"
#include "tests/unit/fake_agent.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct loop loop;
static struct fake_agent guest;
static struct agent agent;
static struct log log_;
static struct agent_shutdown off;

static void setup(void)
{
	struct err err;

	log_ = (struct log){.fd = memfd_create("log", MFD_CLOEXEC), .prefix = "web"};
	fake_agent_init(&guest);
	agent_init(&agent, &guest.port);
	agent_shutdown_init(&off, &agent, &log_);
	cr_assert(eq(int, loop_init(&loop, &lock, &err), 0));
	cr_assert(eq(int, agent_open(&agent, &loop, &err), 0));
	agent_go(&agent);
}

static void teardown(void)
{
	agent_close(&agent);
	loop_free(&loop);
	close(log_.fd);
}

TestSuite(agent_shutdown, .init = setup, .fini = teardown);

static bool logged(const char *what)
{
	static char text[4096];
	ssize_t len = pread(log_.fd, text, sizeof(text) - 1, 0);

	text[len > 0 ? len : 0] = '\0';
	return strstr(text, what) != NULL;
}

static void agent_is_ready(void)
{
	fake_agent_open(&guest, true);
	fake_agent_synchronizes(&guest);
}

static void is_asked(void)
{
	json_t *arguments = fake_agent_expects(&guest, "guest-shutdown");

	cr_assert_str_eq(json_string_value(json_object_get(arguments, "mode")), "powerdown");
	json_decref(arguments);
	cr_assert(logged("its agent is asked to switch off"));
}

Test(agent_shutdown, an_agent_that_is_there)
{
	agent_is_ready();
	cr_assert(fake_agent_hears_nothing(&guest));
	agent_shutdown_begin(&off);
	is_asked();
	fake_agent_open(&guest, false);
	agent_is_ready();
	cr_assert(fake_agent_hears_nothing(&guest));
}

Test(agent_shutdown, an_agent_that_comes_later)
{
	agent_shutdown_begin(&off);
	cr_assert_not(logged("asked"));
	agent_is_ready();
	is_asked();
}

Test(agent_shutdown, an_agent_that_refuses_is_told_of)
{
	agent_is_ready();
	agent_shutdown_begin(&off);
	is_asked();
	fake_agent_says(&guest, "{\"error\": {\"desc\": \"has been disabled\\u001b\"}}\n");
	cr_assert(logged("the guest's agent does not switch it off: has been disabled?"));
}

Test(agent_shutdown, a_guest_that_is_taken_back_is_not_asked)
{
	agent_shutdown_begin(&off);
	agent_shutdown_forget(&off);
	agent_is_ready();
	cr_assert(fake_agent_hears_nothing(&guest));
}
