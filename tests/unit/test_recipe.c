/* Recipes: what their heads say, and what they may not say. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "golden/recipe.h"

static int read_recipe(struct recipe *r, const char *text, struct err *err)
{
	return recipe_parse(r, "tests/web.recipe", strdup(text), strlen(text), err);
}

Test(recipe, the_head_says_what_is_booted_and_how_it_is_saved)
{
	cleanup_recipe struct recipe r = {0};
	struct err err;

	cr_assert(zero(i32, read_recipe(&r,
					"kernel: ../vmlinuz\n"
					"disk: /d.img,ro\n"
					"timeout: 9\n"
					"memory: 192M\n"
					"append: console=ttyS0 a: b\n"
					"publish: 80 53/udp\n"
					"await: READY nonce\n"
					"save: trim level=9\n"
					"warm: 5\n"
					"exclude: /run /var/log/*\n"
					"\n"
					"from: prose\n"
					"  % true\n",
					&err)),
		  "%s", err.text);
	cr_assert(eq(u32, r.noptions, 4));
	cr_expect(eq(str, r.option[0], (char *)"--kernel=tests/../vmlinuz"));
	cr_expect(eq(str, r.option[1], (char *)"--disk=/d.img,ro"));
	cr_expect(eq(str, r.option[3], (char *)"--append=console=ttyS0 a: b"));
	cr_assert(eq(u32, r.transcript.npublish, 2));
	cr_expect(eq(str, r.transcript.publish[1], (char *)"53/udp"));
	cr_expect(eq(str, r.await, (char *)"READY nonce"));
	cr_expect(eq(u32, r.transcript.timeout, 9));
	cr_expect(eq(u32, r.level, 9));
	cr_expect(eq(u32, r.warm, 5));
	cr_expect(eq(u32, r.boot, RECIPE_BOOT));
	cr_expect(r.trim);
	cr_expect(not(r.flat));
	cr_expect(eq(sz, r.excludes.n, 2));
	cr_expect(eq(ptr, (void *)r.from, NULL));
	cr_expect(not(recipe_needs_guest(&r)));
	recipe_free(&r);
	cr_assert(zero(i32, read_recipe(&r, "from: web.torpor\n\n  % true\n  $ true\n", &err)));
	cr_expect(eq(str, r.from, (char *)"tests/web.torpor"));
	cr_expect(recipe_needs_guest(&r));
}

Test(recipe, a_head_that_cannot_be_read_names_its_line)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"  % true\n", "its head needs one of"},
		{"from: a\nkernel: b\n", "its head needs one of"},
		{"golden: a\nmemory: 64M\n", "--memory=64M cannot be changed"},
		{"from: a\nmemroy: 64M\n", "line 2: a recipe has no 'memroy:'"},
		{"from: a\nfrom: b\n", "line 2: from: it is given twice"},
		{"from: a\nsave: tidy\n", "line 2: save: 'tidy' is not flat"},
		{"from: a\nsave: level=20\n", "line 2: save: level: '20' is not 1 to 19"},
		{"from: a\nsave: flat level=2\n", "flat is not packed"},
		{"from: a\nwarm: yes\n", "line 2: warm: 'yes' is not 1 to 600"},
		{"from: a\ntimeout: 0\n", "line 2: timeout: '0'"},
		{"from: a\npublish: 80 8080:80\n", "line 2: publish: '8080:80' is not a port"},
		{"from: a\npublish: 65536\n", "line 2: publish: '65536' is not a port"},
		{"from: a\npublish: 80/sctp\n", "line 2: publish: '80/sctp' is not a port"},
		{"from: a\nexclude: /run var\n", "line 2: exclude: 'var' matches no path"},
		{"from: a\r\n", "CR LF"},
		{"from: a\r", "CR LF"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct recipe r;
		struct err err;

		cr_expect(lt(i32, read_recipe(&r, cases[i].text, &err), 0), "%s", cases[i].text);
		cr_expect(ne(ptr, (void *)strstr(err.text, cases[i].says), NULL), "%s: %s",
			  cases[i].text, err.text);
	}
}
