/* See fake_agent.h. */
#include "tests/unit/fake_agent.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>

#include "base/num.h"

static size_t take_input(struct chardev *c, const uint8_t *data, size_t len)
{
	struct fake_agent *f = container_of(c, struct fake_agent, port);
	size_t taken = f->open ? u64_min(len, f->room) : 0;

	cr_assert(le(sz, f->len + taken, sizeof(f->heard)));
	memcpy(f->heard + f->len, data, taken);
	f->len += taken;
	f->room -= taken;
	return taken;
}

static bool is_open(const struct chardev *c)
{
	return container_of(c, const struct fake_agent, port)->open;
}

void fake_agent_init(struct fake_agent *f)
{
	*f = (struct fake_agent){
		.port = {.input = take_input, .is_open = is_open},
		.room = SIZE_MAX,
	};
}

void fake_agent_open(struct fake_agent *f, bool open)
{
	f->open = open;
	f->port.opened(f->port.opaque, open);
	if (open)
		f->port.room(f->port.opaque);
}

bool fake_agent_hears_nothing(struct fake_agent *f)
{
	return memchr(f->heard + f->taken, '\n', f->len - f->taken) == NULL;
}

json_t *fake_agent_hears(struct fake_agent *f, bool delimited)
{
	const char *line = f->heard + f->taken, *end;
	json_t *json;

	if (fake_agent_hears_nothing(f))
		return NULL;
	end = memchr(line, '\n', f->len - f->taken);
	f->taken = (size_t)(end - f->heard) + 1;
	cr_assert(eq(int, (uint8_t)line[0] == 0xff, delimited));
	line += delimited;
	json = json_loadb(line, (size_t)(end - line), 0, NULL);
	cr_assert_not_null(json);
	return json;
}

json_t *fake_agent_expects(struct fake_agent *f, const char *command)
{
	json_t *line = fake_agent_hears(f, false), *arguments;

	cr_assert_not_null(line, "no %s", command);
	cr_assert_str_eq(json_string_value(json_object_get(line, "execute")), command);
	arguments = json_incref(json_object_get(line, "arguments"));
	json_decref(line);
	return arguments;
}

json_int_t fake_agent_number(struct fake_agent *f)
{
	json_t *line = fake_agent_hears(f, true);
	json_int_t number;

	cr_assert_not_null(line);
	cr_assert_str_eq(json_string_value(json_object_get(line, "execute")),
			 "guest-sync-delimited");
	number = json_integer_value(json_object_get(json_object_get(line, "arguments"), "id"));
	json_decref(line);
	return number;
}

void fake_agent_synchronizes(struct fake_agent *f)
{
	char text[64];

	snprintf(text, sizeof(text), "\xff{\"return\": %lld}\n", (long long)fake_agent_number(f));
	fake_agent_says(f, text);
}

void fake_agent_says(struct fake_agent *f, const char *text)
{
	f->port.output(f->port.opaque, (const uint8_t *)text, strlen(text));
}

bool fake_agent_is_set(const struct timer *t)
{
	struct itimerspec left;

	cr_assert(eq(int, timerfd_gettime(t->fd, &left), 0));
	return left.it_value.tv_sec != 0 || left.it_value.tv_nsec != 0;
}

void fake_agent_time_passes(struct timer *t)
{
	cr_assert(fake_agent_is_set(t));
	timer_set(t, 0);
	t->fn(t->opaque);
}
