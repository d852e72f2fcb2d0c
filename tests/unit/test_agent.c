/* The host's end of the guest agent's protocol against agents that know it, and others. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/fake_agent.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct loop loop;
static struct fake_agent guest;
static struct agent agent;
static struct agent_observer observer;
static struct agent_question question;
static unsigned changes;

/* What came of the last question. */
static unsigned answers;
static json_t *answer;
static char failure[1024];

static void on_change(void *opaque)
{
	(void)opaque;
	changes++;
}

static void on_answer(void *opaque, const json_t *value, const struct err *why)
{
	(void)opaque;
	answers++;
	json_decref(answer);
	answer = json_deep_copy(value);
	snprintf(failure, sizeof(failure), "%s", why != NULL ? why->text : "");
	cr_assert(eq(int, value == NULL, why != NULL));
}

static void setup(void)
{
	struct err err;

	fake_agent_init(&guest);
	agent_init(&agent, &guest.port);
	agent_observe(&agent, &observer, on_change, NULL);
	cr_assert(eq(int, loop_init(&loop, &lock, &err), 0));
	cr_assert(eq(int, agent_open(&agent, &loop, &err), 0));
	agent_go(&agent);
}

static void teardown(void)
{
	agent_close(&agent);
	loop_free(&loop);
	json_decref(answer);
}

TestSuite(agent, .init = setup, .fini = teardown);

static void be_ready(void)
{
	fake_agent_open(&guest, true);
	fake_agent_synchronizes(&guest);
	cr_assert(eq(int, agent.state, AGENT_READY));
}

static void ask(const char *command)
{
	agent_ask(&agent, &question, command, NULL, 1000, on_answer, NULL);
	json_decref(fake_agent_expects(&guest, command));
}

Test(agent, question_and_answer)
{
	json_t *arguments;

	cr_assert(eq(int, agent.state, AGENT_CLOSED));
	be_ready();
	cr_assert_not(fake_agent_is_set(&agent.timer));
	agent_ask(&agent, &question, "guest-set-time", json_pack("{s:i}", "time", 7), 1000,
		  on_answer, NULL);
	arguments = fake_agent_expects(&guest, "guest-set-time");
	cr_assert(eq(int, (int)json_integer_value(json_object_get(arguments, "time")), 7));
	json_decref(arguments);
	cr_assert(fake_agent_is_set(&agent.timer));
	fake_agent_says(&guest, "{\"return\": ");
	cr_assert(eq(uint, answers, 0));
	fake_agent_says(&guest, "[1]}\n");
	cr_assert(eq(uint, answers, 1));
	cr_assert(eq(sz, json_array_size(answer), 1));
	cr_assert_not(fake_agent_is_set(&agent.timer));
	/* Nobody asked. */
	fake_agent_says(&guest, "{\"return\": {}}\n");
	cr_assert(eq(uint, answers, 1));
	cr_assert(eq(int, agent.state, AGENT_READY));
}

Test(agent, what_comes_before_the_number_is_dropped)
{
	char text[64];

	fake_agent_open(&guest, true);
	fake_agent_says(&guest, "\": 17, \"half\": [1]}}\n{\"return\": {}}\n{\"ret");
	fake_agent_says(&guest, "\xff{\"return\": 4711}\n\x01\x02\n\n{\"return\": \"x\"}\n");
	cr_assert(eq(int, agent.state, AGENT_SYNCING));
	fake_agent_says(&guest, "{\"error\": {\"class\": \"GenericError\"}}\n{\"unfinished\": [[[");
	snprintf(text, sizeof(text), "\xff{\"return\": %lld}\n",
		 (long long)fake_agent_number(&guest));
	fake_agent_says(&guest, text);
	cr_assert(eq(int, agent.state, AGENT_READY));
	ask("guest-info");
	fake_agent_says(&guest, "{\"return\": {}}\n");
	cr_assert(eq(uint, answers, 1));
	cr_assert_str_empty(failure);
}

Test(agent, an_agent_that_never_answers)
{
	char text[64];

	fake_agent_open(&guest, true);
	fake_agent_time_passes(&agent.timer);
	cr_assert(eq(int, agent.state, AGENT_SILENT));
	cr_assert(eq(uint, changes, 2));
	/* Late, but it lives. */
	snprintf(text, sizeof(text), "\xff{\"return\": %lld}\n",
		 (long long)fake_agent_number(&guest));
	fake_agent_says(&guest, text);
	cr_assert(eq(int, agent.state, AGENT_READY));
	ask("guest-info");
	fake_agent_time_passes(&agent.timer);
	cr_assert(eq(uint, answers, 1));
	cr_assert_str_eq(failure, "no answer in time");
	/* Whatever it says now belongs to the old question. */
	fake_agent_says(&guest, "{\"return\": {}}\n");
	cr_assert(eq(int, agent.state, AGENT_SYNCING));
	fake_agent_synchronizes(&guest);
	cr_assert(eq(int, agent.state, AGENT_READY));
	cr_assert(eq(uint, answers, 1));
}

Test(agent, closed_in_the_middle_and_opened_again)
{
	be_ready();
	ask("guest-exec");
	fake_agent_says(&guest, "{\"return\": {\"pid\"");
	fake_agent_open(&guest, false);
	cr_assert(eq(uint, answers, 1));
	cr_assert_str_eq(failure, "the guest has closed the agent's port");
	cr_assert(eq(int, agent.state, AGENT_CLOSED));
	cr_assert_not(fake_agent_is_set(&agent.timer));
	fake_agent_says(&guest, ": 1}}\n");
	be_ready();
	ask("guest-info");
	fake_agent_says(&guest, "{\"return\": {}}\n");
	cr_assert(eq(uint, answers, 2));
	cr_assert_str_empty(failure);
}

/* One line without end, sent in pieces. */
static void say_much(size_t len)
{
	char piece[4097];

	memset(piece, 'x', sizeof(piece) - 1);
	piece[sizeof(piece) - 1] = '\0';
	for (size_t said = 0; said < len; said += sizeof(piece) - 1)
		fake_agent_says(&guest, piece);
}

Test(agent, an_answer_that_is_too_long)
{
	be_ready();
	ask("guest-info");
	fake_agent_says(&guest, "{\"return\": \"");
	say_much(4 * AGENT_LINE_MAX);
	cr_assert(eq(sz, agent.len, AGENT_LINE_MAX));
	fake_agent_says(&guest, "\"}\n");
	cr_assert_str_eq(failure, "the answer is too long");
	say_much(2 * AGENT_LINE_MAX);
	fake_agent_synchronizes(&guest);
	cr_assert(eq(int, agent.state, AGENT_READY));
}

Test(agent, nonsense)
{
	static const char *const answers_of_fools[] = {
		"\n",
		"17\n",
		"[]\n",
		"{}\n",
		"{\"return\"\n",
		"{\"error\": 1}\n",
		"{\"return\": {}} {}\n",
		"{\"a\":\"\xc3\x28\"}\n",
	};

	be_ready();
	for (size_t i = 0; i < sizeof(answers_of_fools) / sizeof(answers_of_fools[0]); i++) {
		ask("guest-info");
		fake_agent_says(&guest, answers_of_fools[i]);
		cr_assert_str_eq(failure, "the answer makes no sense", "%zu: %s", i, failure);
		fake_agent_synchronizes(&guest);
		cr_assert(eq(int, agent.state, AGENT_READY));
	}
}

Test(agent, deeply_nested)
{
	char *text = malloc(100001);

	be_ready();
	ask("guest-info");
	memset(text, '[', 100000);
	text[100000] = '\0';
	fake_agent_says(&guest, text);
	fake_agent_says(&guest, "\n");
	cr_assert_str_eq(failure, "the answer makes no sense");
	free(text);
}

Test(agent, an_error_is_an_answer)
{
	be_ready();
	ask("guest-exec");
	fake_agent_says(&guest, "{\"error\": {\"class\": \"X\", \"desc\": \"No such file\"}}\n");
	cr_assert_str_eq(failure, "No such file");
	ask("guest-exec");
	fake_agent_says(&guest, "{\"error\": {\"desc\": 1}}\n");
	cr_assert_str_eq(failure, "it failed");
	cr_assert(eq(int, agent.state, AGENT_READY));
}

Test(agent, a_port_with_little_room)
{
	guest.room = 10;
	fake_agent_open(&guest, true);
	cr_assert(eq(sz, guest.len, 10));
	cr_assert(fake_agent_hears_nothing(&guest));
	while (fake_agent_hears_nothing(&guest)) {
		guest.room = 7;
		guest.port.room(guest.port.opaque);
	}
	guest.room = SIZE_MAX;
	fake_agent_synchronizes(&guest);
	cr_assert(eq(int, agent.state, AGENT_READY));
}

/* Half of a question is in the guest when it becomes clear that nobody will answer it. */
Test(agent, half_a_question_is_not_finished)
{
	be_ready();
	guest.room = 5;
	agent_ask(&agent, &question, "guest-info", NULL, 1000, on_answer, NULL);
	fake_agent_time_passes(&agent.timer);
	cr_assert(eq(uint, answers, 1));
	guest.taken += 5;
	guest.room = SIZE_MAX;
	guest.port.room(guest.port.opaque);
	fake_agent_synchronizes(&guest);
	cr_assert(eq(int, agent.state, AGENT_READY));
}

Test(agent, while_the_machine_does_not_run)
{
	agent_stop(&agent);
	fake_agent_open(&guest, true);
	cr_assert(eq(sz, guest.len, 0));
	agent_go(&agent);
	fake_agent_synchronizes(&guest);
	ask("guest-info");
	agent_stop(&agent);
	cr_assert_not(fake_agent_is_set(&agent.timer));
	agent_go(&agent);
	cr_assert(fake_agent_is_set(&agent.timer));
	cr_assert(fake_agent_hears_nothing(&guest), "it is not asked twice");
	fake_agent_says(&guest, "{\"return\": {}}\n");
	cr_assert(eq(uint, answers, 1));
	/* Asked just when it stops: told when it goes on. */
	agent_stop(&agent);
	agent_ask(&agent, &question, "guest-ping", NULL, 1000, on_answer, NULL);
	cr_assert(fake_agent_hears_nothing(&guest));
	agent_go(&agent);
	json_decref(fake_agent_expects(&guest, "guest-ping"));
}

Test(agent, a_guest_that_is_taken_back)
{
	be_ready();
	ask("guest-ping");
	agent_stop(&agent);
	changes = 0;
	agent_forget(&agent);
	cr_assert(eq(uint, answers, 1));
	cr_assert_str_eq(failure, "the machine was reset");
	cr_assert(eq(int, agent.state, AGENT_CLOSED));
	cr_assert(eq(uint, changes, 1));
	agent_go(&agent);
	/* What it says has nothing to do with what was asked before. */
	fake_agent_says(&guest, "{\"return\": {}}\n");
	fake_agent_synchronizes(&guest);
	cr_assert(eq(uint, answers, 1));
	ask("guest-ping");
	fake_agent_says(&guest, "{\"return\": {}}\n");
	cr_assert(eq(uint, answers, 2));
}

Test(agent, wakes_with_the_port_open)
{
	agent_stop(&agent);
	guest.open = true; /* as the restored state says */
	fake_agent_says(&guest, "{\"return\": {\"pid\": 1}}\n");
	agent_go(&agent);
	fake_agent_says(&guest, "{\"return\": {\"pid\": 2}}\n");
	fake_agent_synchronizes(&guest);
	cr_assert(eq(int, agent.state, AGENT_READY));
	cr_assert(eq(uint, answers, 0));
}

/* Who has answered, in their order. */
static char order[16];

static void on_queued(void *opaque, const json_t *value, const struct err *why)
{
	(void)why;
	strcat(order, opaque);
	if (value == NULL)
		strcat(order, "-");
}

static struct agent_question asked_again;
static char c[] = "c";

static void on_queued_again(void *opaque, const json_t *value, const struct err *why)
{
	on_queued(opaque, value, why);
	if (agent.state == AGENT_READY)
		agent_ask(&agent, &asked_again, "guest-again", NULL, 1000, on_queued, c);
}

Test(agent, questions_wait_in_their_order)
{
	struct agent_question a = {0}, b = {0};

	be_ready();
	agent_ask(&agent, &a, "guest-a", NULL, 1000, on_queued_again, (char[]){"a"});
	agent_ask(&agent, &b, "guest-b", NULL, 1000, on_queued, (char[]){"b"});
	json_decref(fake_agent_expects(&guest, "guest-a"));
	cr_assert(fake_agent_hears_nothing(&guest));
	fake_agent_says(&guest, "{\"return\": {}}\n");
	/* Who asks again is behind who waits. */
	json_decref(fake_agent_expects(&guest, "guest-b"));
	fake_agent_says(&guest, "{\"return\": {}}\n");
	json_decref(fake_agent_expects(&guest, "guest-again"));
	fake_agent_says(&guest, "{\"error\": {}}\n");
	cr_assert_str_eq(order, "abc-");
}

/* The open question fails; the others are asked once the agent is understood again, or told that it
 * is silent. */
Test(agent, questions_wait_for_an_agent_that_is_late)
{
	struct agent_question a = {0}, b = {0};

	be_ready();
	agent_ask(&agent, &a, "guest-a", NULL, 1000, on_queued_again, (char[]){"a"});
	agent_ask(&agent, &b, "guest-b", NULL, 1000, on_queued, (char[]){"b"});
	json_decref(fake_agent_expects(&guest, "guest-a"));
	fake_agent_time_passes(&agent.timer);
	cr_assert_str_eq(order, "a-");
	fake_agent_synchronizes(&guest);
	json_decref(fake_agent_expects(&guest, "guest-b"));
	agent_ask(&agent, &a, "guest-a", NULL, 1000, on_queued_again, (char[]){"a"});
	fake_agent_time_passes(&agent.timer);
	fake_agent_time_passes(&agent.timer);
	cr_assert_str_eq(order, "a-b-a-");
	cr_assert(eq(int, agent.state, AGENT_SILENT));
}

Test(agent, all_that_wait_learn_that_it_is_closed)
{
	struct agent_question a = {0}, b = {0};

	be_ready();
	agent_ask(&agent, &a, "guest-a", NULL, 1000, on_queued_again, (char[]){"a"});
	agent_ask(&agent, &b, "guest-b", NULL, 1000, on_queued, (char[]){"b"});
	fake_agent_open(&guest, false);
	cr_assert_str_eq(order, "a-b-");
	cr_assert_not(a.waits || b.waits);
}

Test(agent, answered_before_it_was_asked)
{
	be_ready();
	guest.room = 5;
	agent_ask(&agent, &question, "guest-info", NULL, 1000, on_answer, NULL);
	fake_agent_says(&guest, "{\"return\": {}}\n");
	cr_assert_str_eq(failure, "the answer makes no sense");
	cr_assert(eq(int, agent.state, AGENT_SYNCING));
}

/* It is no answer, and needs no question; the port is closed behind it. */
Test(agent, the_status_of_the_application)
{
	fake_agent_open(&guest, true);
	cr_assert(eq(int, agent.exit_status, 0));
	fake_agent_says(
		&guest,
		"half of an ans\xff{\"event\":\"TORPOR_EXIT\",\"data\":{\"status\":256}}\n");
	cr_assert(eq(int, agent.exit_status, 0));
	fake_agent_says(&guest,
			"{\"event\":\"TORPOR_EXIT\",\"data\":[\n{\"event\":\"TORPOR_EXIT\"}\n");
	cr_assert(eq(int, agent.exit_status, 0));
	fake_agent_says(&guest, "{\"event\":\"TORPOR_EXIT\",\"data\":{\"status\":3}}\n");
	cr_assert(eq(int, agent.exit_status, 3));
	fake_agent_open(&guest, false);
	cr_assert(eq(int, agent.exit_status, 3));
	fake_agent_open(&guest, true);
	cr_assert(eq(int, agent.exit_status, 0), "another boot's is another's");
}
