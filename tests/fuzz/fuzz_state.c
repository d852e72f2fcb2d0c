/* See fuzz_state.h. */
#include "tests/fuzz/fuzz_state.h"

#include <string.h>

#include "snapshot/sections.h"

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

static void decode_section(struct statefile *sf, const char *section,
			   const struct state_table *table)
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

void fuzz_decode_state(const uint8_t *data, size_t size, const struct state_table *vcpu,
		       const struct state_table *vm, void (*whole)(struct statefile *sf))
{
	struct statefile sf;
	struct err err = {0};
	int ret = statefile_parse(&sf, data, size, &err);

	fuzz_require_reason(ret, &err);
	if (ret < 0)
		return;
	decode_section(&sf, section_of_vcpu(0).text, vcpu);
	decode_section(&sf, SECTION_VM, vm);
	if (whole != NULL)
		whole(&sf);
	statefile_free(&sf);
}
