/* See fuzz_state.h. */
#include "tests/fuzz/fuzz_state.h"

#include <string.h>

void fuzz_require_canonical(const struct state_table *table, const void *obj)
{
	struct buf once = {0}, twice = {0};
	void *again = malloc(table->size);
	struct err err;

	fuzz_require(again != NULL);
	state_encode(table, obj, &once);
	fuzz_require(state_decode(table, table->version, once.data, once.len, again, &err) == 0);
	state_encode(table, again, &twice);
	fuzz_require(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
	buf_free(&once);
	buf_free(&twice);
	free(again);
}

void fuzz_decode_section(struct statefile *sf, const char *section, const struct state_table *table)
{
	void *obj = malloc(table->size);
	struct err err = {0};
	int ret;

	fuzz_require(obj != NULL);
	ret = statefile_load(sf, section, table, obj, &err);
	fuzz_require_reason(ret, &err);
	if (ret == 0)
		fuzz_require_canonical(table, obj);
	free(obj);
}
