/* What a guest is owed when it wakes, and in which order it gets it. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "format/crypto/base64.h"
#include "guest/helper_bytes.h"
#include "guest/reseed.h"
#include "guest/reseed_seed.h"
#include "instance/post_resume.h"
#include "tests/unit/fake_agent.h"

#define SECOND UINT64_C(1000000000)
#define ALL    "guest-set-time", "guest-get-time", "guest-exec"

static struct machine machine; /* no more than a state, a loop and a log */
static struct fake_agent guest;
static struct post_resume post_resume;

static uint64_t host_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

/* Asleep for so long; SIZE_MAX: booted. */
static void start(uint64_t asleep)
{
	const struct resume_facts facts = {
		.name = "web", .generation = 3, .macs = "02:00:00:00:00:07 02:00:00:00:00:08"};
	struct err err;

	pthread_mutex_init(&machine.lock, NULL);
	cr_assert(eq(int, loop_init(&machine.loop, &machine.lock, &err), 0));
	machine.log = (struct log){.fd = memfd_create("log", MFD_CLOEXEC), .prefix = "web"};
	machine.state = MACHINE_RUNNING;
	fake_agent_init(&guest);
	post_resume_init(&post_resume, &machine, &guest.port, &facts,
			 asleep == SIZE_MAX ? 0 : host_ns() - asleep * SECOND);
}

static void go_on(void)
{
	struct err err;

	cr_assert(eq(int, post_resume_open(&post_resume, &err), 0));
}

static void teardown(void)
{
	post_resume_close(&post_resume);
	loop_free(&machine.loop);
	close(machine.log.fd);
}

TestSuite(post_resume, .fini = teardown);

static bool logged(const char *what)
{
	static char text[65536];
	ssize_t len = pread(machine.log.fd, text, sizeof(text) - 1, 0);

	text[len > 0 ? len : 0] = '\0';
	return strstr(text, what) != NULL;
}

/* A member of post_resume_json(), as JSON text. */
static const char *told(const char *member)
{
	static char text[4096];
	json_t *json = post_resume_json(&post_resume);
	size_t len;

	cr_assert_not_null(json);
	len = json_dumpb(json_object_get(json, member), text, sizeof(text) - 1,
			 JSON_ENCODE_ANY | JSON_COMPACT);
	text[len] = '\0';
	json_decref(json);
	return text;
}

static void says(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void says(const char *format, ...)
{
	char text[8192];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	fake_agent_says(&guest, text);
}

static void offers_(const char *const *commands)
{
	json_decref(fake_agent_expects(&guest, "guest-info"));
	says("{\"return\": {\"supported_commands\": [{\"name\": 1}, 7, "
	     "{\"name\": \"guest-exec\", \"enabled\": false}");
	for (; *commands != NULL; commands++)
		says(", {\"name\": \"%s\", \"enabled\": true}", *commands);
	says("]}}\n");
}
#define offers(...) offers_((const char *const[]){__VA_ARGS__, NULL})

static void clock_is_set(void)
{
	json_t *arguments = fake_agent_expects(&guest, "guest-set-time");
	json_int_t time = json_integer_value(json_object_get(arguments, "time"));
	int64_t late = (int64_t)host_ns() - (int64_t)time;

	cr_assert(ge(i64, late, 0));
	cr_assert(lt(i64, late, (int64_t)(10 * SECOND)));
	json_decref(arguments);
	says("{\"return\": {}}\n");
}

static void clock_is_asked(double off)
{
	json_decref(fake_agent_expects(&guest, "guest-get-time"));
	says("{\"return\": %lld}\n", (long long)((int64_t)host_ns() + (int64_t)(off * 1e9)));
}

static bool has(const json_t *list, const char *text)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (strcmp(json_string_value(json_array_get(list, i)), text) == 0)
			return true;
	}
	return false;
}

static void hooks_start(void)
{
	json_t *arguments = fake_agent_expects(&guest, "guest-exec");
	const json_t *env = json_object_get(arguments, "env");

	cr_assert_str_eq(json_string_value(json_object_get(arguments, "path")), "/bin/sh");
	cr_assert(has(env, "TORPOR_NAME=web"));
	cr_assert(has(env, "TORPOR_GENERATION=3"));
	cr_assert(has(env, "TORPOR_SECONDS_ASLEEP=612"));
	cr_assert(has(env, "TORPOR_MAC=02:00:00:00:00:07"));
	cr_assert(has(env, "TORPOR_MACS=02:00:00:00:00:07 02:00:00:00:00:08"));
	cr_assert_not(has(env, "TORPOR_NEW_IDENTITY=1"));
	json_decref(arguments);
	says("{\"return\": {\"pid\": 99}}\n");
}

/* A guest that has slept wakes, and its agent says what it offers. */
static void agent_answers(void)
{
	start(612);
	guest.open = true;
	go_on();
	fake_agent_synchronizes(&guest);
	offers(ALL);
}

/* The same, to where its hooks run. */
static void hooks_begin(void)
{
	agent_answers();
	clock_is_set();
	hooks_start();
}

/* The next look finds this. */
static void hooks_are(const char *status)
{
	json_t *arguments;

	fake_agent_time_passes(&post_resume.timer);
	arguments = fake_agent_expects(&guest, "guest-exec-status");
	cr_assert(eq(int, (int)json_integer_value(json_object_get(arguments, "pid")), 99));
	json_decref(arguments);
	says("{\"return\": {%s}}\n", status);
}

static void hooks_exit(const char *output)
{
	char text[4096], status[6144];

	base64_encode(output, strlen(output), text);
	snprintf(status, sizeof(status), "\"exited\": true, \"exitcode\": 0, \"out-data\": \"%s\"",
		 text);
	hooks_are(status);
}

Test(post_resume, all_of_it)
{
	start(612);
	guest.open = true;
	go_on();
	cr_assert_str_eq(told("agent"), "\"waiting\"");
	fake_agent_synchronizes(&guest);
	offers(ALL);
	clock_is_set();
	hooks_start();
	cr_assert_str_eq(told("hooks"), "\"busy\"");
	hooks_are("\"exited\": false");
	hooks_are("\"exited\": false");
	hooks_exit("10-clock\0370\037\03620-\033[1midentity\037512\037no such\ndevice\n\036");
	clock_is_asked(0.25);
	cr_assert(fake_agent_hears_nothing(&guest));
	cr_assert_str_eq(told("agent"), "\"present\"");
	cr_assert_str_eq(told("clock"), "\"done\"");
	cr_assert_str_eq(told("hooks"), "\"done\"");
	cr_assert_str_eq(told("asleep"), "612");
	cr_assert(lt(dbl, post_resume.off, 0.3));
	cr_assert(ge(dbl, post_resume.off, -9.0));
	cr_assert_str_eq(
		told("ran"),
		"[{\"hook\":\"10-clock\",\"status\":0,\"output\":\"\"},"
		"{\"hook\":\"20-?[1midentity\",\"status\":0,\"output\":\"no such;device\"}]");
	cr_assert(logged("wake hook 20-?[1midentity: exit 0: no such;device\n"));
	cr_assert_not(fake_agent_is_set(&post_resume.timer));
}

static void stop_and_take_back(void)
{
	machine.state = MACHINE_PAUSED;
	post_resume_changed(&post_resume);
	post_resume_again(&post_resume);
	machine.state = MACHINE_RUNNING;
	post_resume_changed(&post_resume);
}

/* All is owed again, wherever it was in the middle of it. */
Test(post_resume, a_guest_that_is_taken_back)
{
	hooks_begin();
	cr_assert_str_eq(told("hooks"), "\"busy\"");
	stop_and_take_back();
	cr_assert_str_eq(told("clock"), "\"owed\"");
	cr_assert_str_eq(told("hooks"), "\"owed\"");
	fake_agent_synchronizes(&guest);
	offers(ALL);
	clock_is_set();
	hooks_start();
	hooks_exit("10-clock\0370\037\036");
	clock_is_asked(0.25);
	cr_assert_str_eq(told("hooks"), "\"done\"");
	stop_and_take_back();
	cr_assert_str_eq(told("ran"), "null");
	fake_agent_synchronizes(&guest);
	offers(ALL);
	json_decref(fake_agent_expects(&guest, "guest-set-time"));
	stop_and_take_back();
	cr_assert_str_eq(told("clock"), "\"owed\"");
	cr_assert_not(logged("wake hooks: "));
}

Test(post_resume, a_booted_machine_is_owed_nothing)
{
	start(SIZE_MAX);
	go_on();
	fake_agent_open(&guest, true);
	fake_agent_synchronizes(&guest);
	cr_assert(fake_agent_hears_nothing(&guest));
	cr_assert_not(fake_agent_is_set(&post_resume.timer));
	cr_assert_str_eq(told("agent"), "\"present\"");
	cr_assert_str_eq(told("hooks"), "\"none\"");
}

Test(post_resume, without_an_agent)
{
	start(5);
	go_on();
	cr_assert_str_eq(told("agent"), "\"waiting\"");
	fake_agent_time_passes(&post_resume.timer);
	cr_assert(logged("no guest agent yet: before it answers, the guest's clock is not set, its "
			 "wake hooks do not run"));
	cr_assert_str_eq(told("agent"), "\"absent\"");
	cr_assert_str_eq(told("clock"), "\"owed\"");
	/* It was only late. */
	fake_agent_open(&guest, true);
	fake_agent_synchronizes(&guest);
	offers("guest-set-time");
	clock_is_set();
	cr_assert_str_eq(told("hooks-error"), "\"the agent does not offer guest-exec\"");
	cr_assert_str_eq(told("clock"), "\"done\"");
	cr_assert(logged("the guest's clock is set"));
}

Test(post_resume, an_agent_that_does_not_answer)
{
	start(5);
	guest.open = true;
	go_on();
	fake_agent_time_passes(&post_resume.agent.timer);
	cr_assert(logged("the guest agent does not answer yet: "));
	cr_assert_str_eq(told("agent"), "\"silent\"");
}

Test(post_resume, an_agent_that_is_slow)
{
	start(612);
	guest.open = true;
	go_on();
	fake_agent_synchronizes(&guest);
	json_decref(fake_agent_expects(&guest, "guest-info"));
	fake_agent_time_passes(&post_resume.agent.timer);
	cr_assert_str_eq(told("clock"), "\"owed\"");
	fake_agent_synchronizes(&guest);
	offers(ALL);
	clock_is_set();
	hooks_start();
}

/* QEMU's agent says so where there is no hardware clock, and has set the time before. */
Test(post_resume, what_the_clock_says_counts)
{
	agent_answers();
	json_decref(fake_agent_expects(&guest, "guest-set-time"));
	says("{\"error\": {\"desc\": \"hwclock failed\\u001b\"}}\n");
	cr_assert_str_eq(told("clock-error"), "\"hwclock failed?\"");
	hooks_start();
	hooks_exit("");
	cr_assert_str_eq(told("ran"), "[]");
	clock_is_asked(0);
	cr_assert_str_eq(told("clock"), "\"done\"");
}

Test(post_resume, a_clock_that_stays_wrong)
{
	hooks_begin();
	hooks_exit("");
	for (unsigned i = 0; i < 2; i++) {
		clock_is_asked(-3600);
		clock_is_set();
	}
	clock_is_asked(-3600);
	cr_assert_str_eq(told("clock"), "\"failed\"");
	cr_assert(logged("the guest's clock is not set: it is still -3600."));
}

Test(post_resume, a_clock_that_is_set_too_late_is_set_again)
{
	hooks_begin();
	hooks_exit("");
	clock_is_asked(-6.6);
	clock_is_set();
	clock_is_asked(0);
	cr_assert_str_eq(told("clock"), "\"done\"");
	cr_assert(logged("the guest's clock is set"));
	cr_assert_not(logged("is not set"));
}

Test(post_resume, hooks_run_once)
{
	hooks_begin();
	fake_agent_open(&guest, false);
	cr_assert_str_eq(told("hooks-error"), "\"the agent ended before it did\"");
	fake_agent_open(&guest, true);
	fake_agent_synchronizes(&guest);
	offers(ALL);
	clock_is_asked(0);
	cr_assert(fake_agent_hears_nothing(&guest));
}

Test(post_resume, an_agent_that_dies_over_the_clock_is_asked_again)
{
	agent_answers();
	json_decref(fake_agent_expects(&guest, "guest-set-time"));
	fake_agent_open(&guest, false);
	fake_agent_open(&guest, true);
	fake_agent_synchronizes(&guest);
	offers(ALL);
	clock_is_set();
	hooks_start();
}

Test(post_resume, hooks_that_do_not_end)
{
	unsigned looks = 0;

	hooks_begin();
	for (; post_resume.hooks == POST_RESUME_BUSY; looks++)
		hooks_are("\"exited\": false");
	cr_assert(lt(uint, looks, 200));
	cr_assert(logged("wake hooks: the guest's shell still runs after a minute"));
	clock_is_asked(0);
}

Test(post_resume, hooks_that_could_not_run)
{
	char said[32];

	hooks_begin();
	base64_encode("no shell\n", 9, said);
	fake_agent_time_passes(&post_resume.timer);
	json_decref(fake_agent_expects(&guest, "guest-exec-status"));
	says("{\"return\": {\"exited\": true, \"exitcode\": 127, \"err-data\": \"%s\"}}\n", said);
	cr_assert_str_eq(told("hooks-error"), "\"the shell in the guest failed: no shell\"");
}

/* A guest that has slept, and whose kernel has no driver of the generation id. */
static void deaf_guest(void)
{
	start(612);
	post_resume_hears_generation(&post_resume, false);
	guest.open = true;
	go_on();
	fake_agent_synchronizes(&guest);
	offers(ALL);
}

/* A seed of its own behind the program. */
static void random_is_asked_for(char seed[RESEED_SEED_SIZE])
{
	json_t *arguments = fake_agent_expects(&guest, "guest-exec");
	const json_t *arg = json_object_get(arguments, "arg"),
		     *input = json_object_get(arguments, "input-data");
	const size_t size = helper_bytes_len + RESEED_SEED_SIZE;
	uint8_t *program = malloc(size);

	cr_assert_str_eq(json_string_value(json_array_get(arg, 2)), "torpor-reseed");
	cr_assert(
		base64_decode(json_string_value(input), json_string_length(input), program, size));
	cr_assert(eq(int, memcmp(program, helper_bytes, helper_bytes_len), 0));
	memcpy(seed, program + helper_bytes_len, RESEED_SEED_SIZE);
	free(program);
	json_decref(arguments);
	says("{\"return\": {\"pid\": 99}}\n");
}

/* Before the hooks, which may draw keys. */
Test(post_resume, random_numbers_are_new_before_all_else)
{
	char one[RESEED_SEED_SIZE], other[RESEED_SEED_SIZE];

	deaf_guest();
	random_is_asked_for(one);
	cr_assert_str_eq(told("random"), "\"busy\"");
	hooks_are("\"exited\": false");
	cr_assert(fake_agent_hears_nothing(&guest));
	hooks_are("\"exited\": true, \"exitcode\": 0");
	cr_assert_str_eq(told("random"), "\"done\"");
	cr_assert(logged("the guest's random numbers are renewed by its agent"));
	clock_is_set();
	hooks_start();
	hooks_exit("");
	clock_is_asked(0);
	stop_and_take_back();
	cr_assert_str_eq(told("random"), "\"owed\"");
	fake_agent_synchronizes(&guest);
	offers(ALL);
	random_is_asked_for(other);
	cr_assert(ne(int, memcmp(one, other, RESEED_SEED_SIZE), 0));
}

Test(post_resume, random_numbers_that_are_not_renewed)
{
	char seed[RESEED_SEED_SIZE], said[32];

	deaf_guest();
	random_is_asked_for(seed);
	base64_encode("no\033 room\n", 9, said);
	fake_agent_time_passes(&post_resume.timer);
	json_decref(fake_agent_expects(&guest, "guest-exec-status"));
	says("{\"return\": {\"exited\": true, \"exitcode\": 1, \"err-data\": \"%s\"}}\n", said);
	cr_assert_str_eq(told("random-error"), "\"no? room\"");
	cr_assert(logged("are not renewed, every machine of this file draws the same: no? room"));
	clock_is_set();
	hooks_start();
}

Test(post_resume, an_agent_that_dies_over_random_numbers_is_asked_again)
{
	char seed[RESEED_SEED_SIZE];

	deaf_guest();
	random_is_asked_for(seed);
	fake_agent_open(&guest, false);
	cr_assert_str_eq(told("random"), "\"owed\"");
	fake_agent_time_passes(&post_resume.timer);
	cr_assert(logged("its random numbers are not renewed"));
	fake_agent_open(&guest, true);
	fake_agent_synchronizes(&guest);
	offers(ALL);
	random_is_asked_for(seed);
	hooks_are("\"exited\": true, \"exitcode\": 0");
	clock_is_set();
}

static bool may_reseed(void)
{
	int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
	bool may = fd >= 0 && ioctl(fd, RNDRESEEDCRNG) == 0;

	close(fd);
	return may;
}

/* What the guest's shell is given, by ours, for this machine's kernel. */
Test(post_resume, the_shell_script_of_random_numbers)
{
	json_t *arguments = reseed_arguments();
	const json_t *arg = json_object_get(arguments, "arg"),
		     *input = json_object_get(arguments, "input-data");
	const char *nonce = json_string_value(json_array_get(arg, 3));
	const size_t size = helper_bytes_len + RESEED_SEED_SIZE;
	uint8_t *program = malloc(size);
	char command[2048], left[128];
	FILE *pipe;
	int status;

	cr_assert_not_null(arguments);
	cr_assert(
		base64_decode(json_string_value(input), json_string_length(input), program, size));
	snprintf(command, sizeof(command), "exec 2>/dev/null; set -- %s\n%s", nonce,
		 json_string_value(json_array_get(arg, 1)));
	pipe = popen(command, "w");
	cr_assert_not_null(pipe);
	cr_assert(eq(sz, fwrite(program, 1, size, pipe), size));
	status = pclose(pipe);
	cr_assert(eq(int, WEXITSTATUS(status), may_reseed() ? 0 : 1));
	for (size_t i = 0; i < 4; i++) {
		static const char *const places[] = {"/dev/shm", "/run", "/tmp", "/var/tmp"};

		snprintf(left, sizeof(left), "%s/torpor-%s", places[i], nonce);
		cr_assert(ne(int, access(left, F_OK), 0), "%s", left);
	}
	free(program);
	json_decref(arguments);
	start(0);
}

static void pause_for(uint64_t ns)
{
	machine.state = MACHINE_PAUSED;
	post_resume_changed(&post_resume);
	post_resume.stopped -= ns;
	machine.state = MACHINE_RUNNING;
	post_resume_changed(&post_resume);
}

Test(post_resume, pauses_cost_the_clock_only)
{
	start(SIZE_MAX);
	guest.open = true;
	go_on();
	fake_agent_synchronizes(&guest);
	pause_for(SECOND / 2);
	cr_assert(fake_agent_hears_nothing(&guest));
	pause_for(SECOND * 6 / 10);
	offers(ALL);
	clock_is_set();
	clock_is_asked(0);
	pause_for(SECOND / 2);
	cr_assert(fake_agent_hears_nothing(&guest), "it knows of the earlier ones");
	cr_assert_str_eq(told("hooks"), "\"none\"");
}

Test(post_resume, paused_in_the_middle)
{
	agent_answers();
	json_decref(fake_agent_expects(&guest, "guest-set-time"));
	pause_for(10 * SECOND);
	says("{\"return\": {}}\n");
	clock_is_set();
	hooks_start();
	pause_for(10 * SECOND);
	cr_assert(fake_agent_is_set(&post_resume.timer));
	clock_is_set();
	hooks_exit("");
	clock_is_asked(0);
	cr_assert_str_eq(told("hooks"), "\"done\"");
}

Test(post_resume, woken_into_a_pause)
{
	start(612);
	guest.open = true;
	machine.state = MACHINE_PAUSED;
	go_on();
	cr_assert(fake_agent_hears_nothing(&guest));
	machine.state = MACHINE_RUNNING;
	post_resume_changed(&post_resume);
	fake_agent_synchronizes(&guest);
	offers(ALL);
}

static void write_hook(const char *folder, const char *name, const char *text, mode_t mode)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	cr_assert_not_null(file);
	fputs(text, file);
	fclose(file);
	chmod(path, mode);
}

/* What the guest's shell is given, run by ours, in another folder. */
static char *run_script(const char *folder)
{
	const struct resume_facts facts = {.name = "web"};
	json_t *arguments = resume_hooks_arguments(&facts, 1);
	const char *script =
		json_string_value(json_array_get(json_object_get(arguments, "arg"), 1));
	char command[2048], *out = calloc(1, 65536);
	const char *rest = strstr(script, "/etc/torpor/wake.d");
	FILE *pipe;

	cr_assert_not_null(rest);
	snprintf(command, sizeof(command), "%.*s%s%s", (int)(rest - script), script, folder,
		 rest + strlen("/etc/torpor/wake.d"));
	pipe = popen(command, "r");
	cr_assert_not_null(pipe);
	cr_assert(ge(sz, fread(out, 1, 65535, pipe), 1));
	cr_assert(eq(int, pclose(pipe), 0));
	json_decref(arguments);
	return out;
}

Test(post_resume, the_shell_script)
{
	char folder[] = "/tmp/torpor-wake.XXXXXX", clean[64];
	char *out;

	cr_assert_not_null(mkdtemp(folder));
	write_hook(folder, "20-b", "#!/bin/sh\necho to the error >&2; exit 7\n", 0755);
	write_hook(folder, "10-a b", "#!/bin/sh\nread x || printf no input\n", 0755);
	write_hook(folder, "30-c", "#!/bin/sh\nhead -c 5000 /dev/zero | tr '\\0' y\n", 0755);
	write_hook(folder, "15-off", "#!/bin/sh\necho never\n", 0644);
	out = run_script(folder);
	hooks_begin();
	hooks_exit(out);
	told("ran");
	cr_assert(eq(sz, json_array_size(post_resume.ran), 3));
	cr_assert_str_eq(
		json_string_value(json_object_get(json_array_get(post_resume.ran, 0), "output")),
		"no");
	cr_assert(eq(int,
		     (int)json_integer_value(
			     json_object_get(json_array_get(post_resume.ran, 1), "status")),
		     7));
	cr_assert_str_eq(
		json_string_value(json_object_get(json_array_get(post_resume.ran, 1), "output")),
		"to the error");
	cr_assert(eq(
		sz,
		json_string_length(json_object_get(json_array_get(post_resume.ran, 2), "output")),
		1000));
	free(out);
	snprintf(clean, sizeof(clean), "rm -r %s", folder);
	cr_assert(eq(int, system(clean), 0));
}
