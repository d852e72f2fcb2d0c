/* What a meter says; meter/meter_text.h. How it is shown is a matter of tests/kvm/verbs/progress.bash. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <jansson.h>
#include <string.h>

#include "base/num.h"
#include "meter/meter_text.h"

static const struct meter_sample half = {
	.done = MIB(27) / 2, .expected = MIB(27), .rate = (double)MIB(5), .seconds = 2.7};

static void line_is(const struct meter_sample *s, unsigned columns, const char *want)
{
	char text[METER_TEXT];

	meter_line(text, "convert", s, columns);
	cr_expect(eq(str, text, (char *)want));
}

Test(meter, a_line_has_bytes_rate_and_time_left)
{
	struct meter_sample s = half;

	line_is(&s, 0, "torpor: convert: 50 %, 13.5 of 27.0 MiB, 5.0 MiB/s, 3 s left");
	s.rate = (double)KIB(5);
	line_is(&s, 0, "torpor: convert: 50 %, 13.5 of 27.0 MiB, 5.0 KiB/s, 46 min 5 s left");
	s.rate = (double)KIB(1);
	line_is(&s, 0, "torpor: convert: 50 %, 13.5 of 27.0 MiB, 1.0 KiB/s, 3 h 50 min left");
	s.rate = 0;
	line_is(&s, 0, "torpor: convert: 50 %, 13.5 of 27.0 MiB, 0.0 MiB/s");
	s = (struct meter_sample){.done = GIB(100), .expected = GIB(200), .rate = (double)GIB(100)};
	line_is(&s, 0, "torpor: convert: 50 %, 100.0 of 200.0 GiB, 100.0 GiB/s, 1 s left");
}

Test(meter, a_line_of_unknown_length_has_bytes_and_rate)
{
	struct meter_sample s = {.done = MIB(3), .rate = (double)MIB(1)};

	line_is(&s, 0, "torpor: convert: 3.0 MiB, 1.0 MiB/s");
}

Test(meter, who_is_waited_for_is_said_as_long_as_nothing_has_come)
{
	struct meter_sample s = {.waits_for = "localhost:5000", .seconds = 3.2};

	line_is(&s, 0, "torpor: convert: waiting for localhost:5000: nothing has come in 3 s");
	line_is(&s, 30, "torpor: convert: waiting for ");
	s.done = MIB(3);
	line_is(&s, 0, "torpor: convert: 3.0 MiB, 0.0 MiB/s");
}

/* More than was expected may come: a blob that only a part of the bytes was known of. */
Test(meter, it_never_says_more_than_all)
{
	struct meter_sample s = {.done = MIB(30), .expected = MIB(27), .rate = (double)MIB(5)};

	line_is(&s, 0, "torpor: convert: 100 %, 27.0 of 27.0 MiB, 5.0 MiB/s, 0 s left");
}

Test(meter, a_line_fits_into_the_terminal)
{
	static const char whole[] = "torpor: convert: 50 %, 13.5 of 27.0 MiB, 5.0 MiB/s, 3 s left";
	char text[METER_TEXT];

	for (unsigned columns = 1; columns < sizeof(whole) + 5; columns++) {
		meter_line(text, "convert", &half, columns);
		cr_expect(lt(sz, strlen(text), columns), "%u", columns);
		cr_expect(eq(i32, strncmp(text, whole, strlen(text)), 0), "%s", text);
	}
	line_is(&half, sizeof(whole), whole);
	line_is(&half, 30, "torpor: convert: 50 %");
}

Test(meter, the_rate_is_that_of_late)
{
	double rate = meter_rate(-1, 1000, 0.2);

	cr_expect(eq(dbl, rate, 5000));
	for (int i = 0; i < 100; i++)
		rate = meter_rate(rate, 200, 0.2);
	cr_expect(lt(dbl, rate, 1010));
	cr_expect(ge(dbl, rate, 1000));
	for (int i = 0; i < 100; i++)
		rate = meter_rate(rate, 0, 0.2);
	cr_expect(lt(dbl, rate, 10));
}

static json_t *object_of(const char *state, const struct meter_sample *s)
{
	char text[METER_TEXT];

	meter_json(text, "convert", state, s);
	return json_loads(text, 0, NULL);
}

Test(meter, an_object_says_the_same)
{
	struct meter_sample s = half;
	json_t *o = object_of("running", &s);

	cr_assert(ne(ptr, o, NULL));
	cr_expect(eq(i64, json_integer_value(json_object_get(o, "done")), MIB(27) / 2));
	cr_expect(eq(i64, json_integer_value(json_object_get(o, "expected")), MIB(27)));
	cr_expect(eq(dbl, json_number_value(json_object_get(o, "left")), 2.7));
	json_decref(o);
	s.expected = 0;
	o = object_of("done", &s);
	cr_assert(ne(ptr, o, NULL));
	cr_expect(eq(i32, json_is_null(json_object_get(o, "expected")), 1));
	cr_expect(eq(i32, json_is_null(json_object_get(o, "left")), 1));
	json_decref(o);
	/* The longest there can be. */
	s = (struct meter_sample){INT64_MAX, INT64_MAX - 1, 9e18, 1e9, NULL};
	o = object_of("cancelled", &s);
	cr_expect(ne(ptr, o, NULL));
	json_decref(o);
}
