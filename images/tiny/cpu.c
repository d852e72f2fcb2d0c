/* Waiting, time, and what other processors do. */
#include "images/tiny/tiny.h"

volatile uint64_t count2;
volatile uint32_t ap_count;

/* Counts a long gap as a short one: the machine may be parked for a week while we wait. */
bool spin(struct spin *s)
{
	const uint64_t max_step = ticks_of_a_gap();
	uint64_t now = ticks();
	uint64_t step = now - s->last;

	if (s->last)
		s->spent += step < max_step ? step : max_step;
	s->last = now;
	return s->spent < ticks_of_patience();
}

void cmd_tsc(const char *args)
{
	(void)args;
	say("tsc %u", ticks());
}

/* Another processor numbers pages, round and round. A page that somebody lost has not the number of the last round. */
static volatile struct {
	uint64_t start, pages, number, bad;
} churn;

static void churn_page(void)
{
	const uint64_t number = churn.number + 1;
	volatile uint64_t *page = (volatile uint64_t *)(churn.start + number % churn.pages * PAGE);

	if (number > churn.pages && *page != number - churn.pages)
		churn.bad++;
	*page = number;
	churn.number = number;
}

void cmd_churn(const char *args)
{
	uint64_t v[2];

	if (!args_get(args, 2, v))
		return;
	if (!mem_usable(ram_at(v[0]), v[1] * MIB)) {
		say("error range");
	} else if (ap_count != 1 || churn.pages) {
		say("error churn");
	} else {
		churn.start = ram_at(v[0]);
		churn.pages = v[1] * MIB / PAGE;
		say("churn ok");
	}
}

void cmd_churned(const char *args)
{
	(void)args;
	say("churned %u %u", churn.number, churn.bad);
}

void ap_main(void)
{
	for (;;) {
		if (churn.pages)
			churn_page();
		count_one(&count2);
	}
}
