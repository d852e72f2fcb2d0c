/* See claims.h. */
#include "tests/unit/claims.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/num.h"
#include "host/claim.h"

static char folder[] = "/tmp/torpor-claims.XXXXXX";
static struct claim machine, lan;

void claims_begin(const char *name)
{
	static const char *const homes[] = {"XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_DATA_HOME"};

	cr_assert(ne(ptr, mkdtemp(folder), NULL));
	for (size_t i = 0; i < ARRAY_SIZE(homes); i++)
		setenv(homes[i], folder, 1);
	cr_assert(eq(i32, claim_name(&machine, name, NULL), 0));
	cr_assert(eq(i32, claim_lan(&lan, name, NULL), 0));
}

void claims_end(void)
{
	char command[64];

	claim_release(&machine);
	claim_release(&lan);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	cr_assert(eq(i32, system(command), 0));
}
