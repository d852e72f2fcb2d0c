/* format/verified.c, as far as fuzzing goes: every file is known to be good. So digests, which no
 * mutation gets right, are not compared, and everything behind them is reached. */
#include "format/verified.h"

bool verified_known(const struct stat *st)
{
	(void)st;
	return true;
}

bool verified_settle(const struct stat *st)
{
	(void)st;
	return true;
}

void verified_remember(const struct stat *st)
{
	(void)st;
}

void verified_forget(const struct stat *st)
{
	(void)st;
}

bool verified_same(const struct stat *a, const struct stat *b)
{
	(void)a;
	(void)b;
	return true;
}

void verified_set_init(struct verified_set *set, const char *digest)
{
	(void)digest;
	*set = (struct verified_set){.settled = true};
}

void verified_set_add(struct verified_set *set, const struct stat *st, const char *digest)
{
	(void)set;
	(void)st;
	(void)digest;
}

bool verified_set_same(const struct verified_set *a, const struct verified_set *b)
{
	(void)a;
	(void)b;
	return true;
}

bool verified_set_known(const struct verified_set *set)
{
	(void)set;
	return true;
}

void verified_set_remember(const struct verified_set *set)
{
	(void)set;
}

void verified_set_forget(const struct verified_set *set)
{
	(void)set;
}
