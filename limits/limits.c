/* See limits.h. */
#include "limits/limits.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "host/parse.h"

#define MIN_MILLI_CPUS 10u
#define MAX_MILLI_CPUS 512000u
#define MIN_MEMORY     MIB(1)
#define MAX_PIDS       4194304u

static bool is_max(const char *text)
{
	return strcmp(text, "max") == 0;
}

/* Digits, and up to three more behind a point. False for anything else, or too much. */
static bool parse_thousandths(const char *text, uint32_t *value)
{
	uint32_t sum = 0;
	unsigned behind = 0;
	bool point = false, digit = false;

	for (; *text != '\0'; text++) {
		if (*text == '.' && !point) {
			point = true;
			continue;
		}
		if (!isdigit((unsigned char)*text) || sum > MAX_MILLI_CPUS || behind == 3)
			return false;
		sum = sum * 10 + (uint32_t)(*text - '0');
		behind += point;
		digit = true;
	}
	for (; behind < 3 && sum <= MAX_MILLI_CPUS; behind++)
		sum *= 10;
	*value = sum;
	return digit;
}

int limits_parse_cpus(struct limits *l, const char *text, struct err *err)
{
	uint32_t value = 0;

	if (!is_max(text) &&
	    (!parse_thousandths(text, &value) || value < MIN_MILLI_CPUS || value > MAX_MILLI_CPUS))
		return err_set(err, ERR_USAGE,
			       "--cpus: '%s' is not a number of CPUs, such as 0.5 or 2, from 0.01 "
			       "to 512, or max",
			       text);
	l->milli_cpus = value;
	l->set |= LIMIT_CPUS;
	return 0;
}

int limits_parse_weight(struct limits *l, const char *text, struct err *err)
{
	uint64_t value;
	int ret = parse_number(text, "--cpu-weight", LIMITS_MIN_WEIGHT, LIMITS_MAX_WEIGHT, &value,
			       err);

	if (ret < 0)
		return ret;
	l->weight = (uint32_t)value;
	l->set |= LIMIT_WEIGHT;
	return 0;
}

/* "N" or "N-M" at *text, which is moved behind it. */
static bool parse_range(const char **text, unsigned long *first, unsigned long *last)
{
	char *end;

	if (!isdigit((unsigned char)**text))
		return false;
	*first = *last = strtoul(*text, &end, 10);
	if (*end == '-') {
		if (!isdigit((unsigned char)end[1]))
			return false;
		*last = strtoul(end + 1, &end, 10);
	}
	*text = end;
	return *first <= *last && *last < LIMITS_HOST_CPUS;
}

int limits_parse_cpuset(struct limits *l, const char *text, struct err *err)
{
	const char *at = text;
	unsigned long first, last;
	bool good = strlen(text) < sizeof(l->cpuset);

	while (good && !is_max(text)) {
		good = parse_range(&at, &first, &last);
		if (*at == '\0')
			break;
		good &= *at++ == ',';
	}
	if (!good)
		return err_set(err, ERR_USAGE,
			       "--cpuset: '%s' is not a list of this host's CPUs, such as 0-3,8, "
			       "or max",
			       text);
	snprintf(l->cpuset, sizeof(l->cpuset), "%s", is_max(text) ? "" : text);
	l->set |= LIMIT_CPUSET;
	return 0;
}

unsigned limits_cpu_mask(const char *cpuset, uint8_t mask[LIMITS_HOST_CPUS / 8])
{
	unsigned long first, last;
	unsigned bytes = 0;

	memset(mask, 0, LIMITS_HOST_CPUS / 8);
	while (parse_range(&cpuset, &first, &last)) {
		for (unsigned long cpu = first; cpu <= last; cpu++)
			mask[cpu / 8] |= (uint8_t)(1u << cpu % 8);
		bytes = last / 8 + 1 > bytes ? (unsigned)(last / 8 + 1) : bytes;
		if (*cpuset++ != ',')
			break;
	}
	return bytes;
}

int limits_parse_memory(struct limits *l, const char *text, struct err *err)
{
	int ret = is_max(text) ? 0 : parse_memory(text, &l->memory, err);

	if (ret < 0)
		return err_context(err, ret, "--memory-max");
	if (is_max(text))
		l->memory = 0;
	else if (l->memory < MIN_MEMORY)
		return err_set(err, ERR_USAGE, "--memory-max: %s is less than 1M", text);
	l->set |= LIMIT_MEMORY;
	return 0;
}

int limits_parse_pids(struct limits *l, const char *text, struct err *err)
{
	int ret = is_max(text) ? 0 : parse_number(text, "--pids-max", 1, MAX_PIDS, &l->pids, err);

	if (ret < 0)
		return ret;
	if (is_max(text))
		l->pids = 0;
	l->set |= LIMIT_PIDS;
	return 0;
}
