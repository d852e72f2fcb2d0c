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
