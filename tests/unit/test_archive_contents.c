/* Who changes what the manifest lists finds that the config, which is signed, says otherwise. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "base/num.h"
#include "format/archive.h"
#include "sample.h"

TestSuite(archive_contents, .init = sample_begin, .fini = sample_end);

struct edit {
	char statements[400];
	char why[100];
	int kind;
};

static void write_ok(void)
{
	struct err err = {0};

	cr_assert(eq(int, sample_write("flat.torpor", &err), 0), "%s", err.text);
	cr_assert(eq(int, sample_write_packed("packed.torpor", 3, &err), 0), "%s", err.text);
}

static void check_refused(const char *file, const struct edit *edits, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct err err = {0};

		sample_edit(file, "edited", edits[i].statements);
		cr_assert(lt(int, sample_check("edited", &err), 0), "%s", edits[i].statements);
		cr_assert_not_null(strstr(err.text, edits[i].why), "%s: %s", edits[i].statements,
				   err.text);
		cr_assert_eq((int)err.kind, edits[i].kind, "%s", err.text);
	}
}

static void check_passes(const char *file, const char *statements)
{
	struct archive *a, *edited;
	struct err err = {0};

	sample_edit(file, "edited", statements);
	cr_assert(eq(int, sample_check("edited", &err), 0), "%s: %s", statements, err.text);
	cr_assert(eq(int, archive_open(&a, file, &err), 0), "%s", err.text);
	cr_assert(eq(int, archive_open(&edited, "edited", &err), 0), "%s", err.text);
	cr_assert_str_eq(archive_digest(a), archive_digest(edited));
	archive_close(a);
	archive_close(edited);
}

Test(archive_contents, what_the_config_names_is_there)
{
	static const struct edit edits[] = {
		{"drop('state')", "something that the config names is missing", ERR_INTEGRITY},
		{"drop('kernel')", "something that the config names is missing", ERR_INTEGRITY},
		{"drop('memory.0.hashes')", "something that the config names is missing",
		 ERR_INTEGRITY},
		{"drop('disk.0.overlay.map', 'disk.0.overlay.hashes', 'disk.0.overlay.0')",
		 "something that the config names is missing", ERR_INTEGRITY},
		{"drop('memory.0.0')", "memory.0: its parts are not what the map says",
		 ERR_INTEGRITY},
		{"c['contents'].pop('kernel')", "kernel is not the one that the config names",
		 ERR_INTEGRITY},
		{"c['contents']['kernel'] = c['contents']['state']",
		 "kernel is not the one that the config names", ERR_INTEGRITY},
		{"c['contents']['memory.9.map'] = c['contents']['state']",
		 "something that the config names is missing", ERR_INTEGRITY},
	};

	write_ok();
	check_refused("flat.torpor", edits, ARRAY_SIZE(edits));
	check_refused("packed.torpor", edits, ARRAY_SIZE(edits));
}

Test(archive_contents, what_is_there_is_what_the_config_names)
{
	static const struct edit edits[] = {
		{"add('initrd', 'initrd', b'evil')", "initrd is not the one that the config names",
		 ERR_INTEGRITY},
		{"drop('state'); add('state', 'state', b'evil')",
		 "state is not the one that the config names", ERR_INTEGRITY},
		{"d = role('memory.0.hashes'); "
		 "d.update(blob(content(d['digest'])[:-1] + b'x'))",
		 "memory.0.hashes is not the one that the config names", ERR_INTEGRITY},
		{"m['layers'].append(dict(role('state')))", "two blobs are state", ERR_INTEGRITY},
	};

	write_ok();
	check_refused("flat.torpor", edits, ARRAY_SIZE(edits));
}

/* With another type it would no longer be looked at, or be used although nobody signed it. */
Test(archive_contents, no_content_has_another_meaning)
{
	static const struct edit edits[] = {
		{"add('initrd', 'unknown', b'evil', True)",
		 "initrd cannot be of type application/vnd.torpor.unknown.v1", ERR_INTEGRITY},
		{"add('initrd', 'signature', b'evil')", "initrd cannot be of type", ERR_INTEGRITY},
		{"drop('disk.0.overlay.0'); "
		 "t = role('kernel')['mediaType']; "
		 "role('disk.0.overlay.map')['mediaType'] = t; "
		 "role('disk.0.overlay.hashes')['mediaType'] = t",
		 "cannot be of type application/vnd.torpor.kernel.v1", ERR_INTEGRITY},
		{"role('kernel')['mediaType'] = role('state')['mediaType']",
		 "kernel cannot be of type", ERR_INTEGRITY},
		{"add('spare', 'kernel', b'evil')", "spare cannot be of type", ERR_INTEGRITY},
		{"add('spare', 'map', b'evil')", "spare cannot be of type", ERR_INTEGRITY},
	};

	write_ok();
	check_refused("flat.torpor", edits, ARRAY_SIZE(edits));
}

Test(archive_contents, what_is_optional_may_be_unknown)
{
	static const struct edit edits[] = {
		{"add('notes', 'notes', b'anything')",
		 "notes is of type application/vnd.torpor.notes.v1, which this torpor does not "
		 "know",
		 ERR_INCOMPATIBLE},
		{"add('notes', 'notes', b'x', True); "
		 "role('notes')['annotations']['org.torpor.optional'] = 'yes'",
		 "org.torpor.optional is not", ERR_INTEGRITY},
		{"add('Notes', 'notes', b'x', True)", "role is missing or malformed",
		 ERR_INTEGRITY},
		{"add('memory.0.1', 'flat', bytes(65536))", "its parts are not what the map says",
		 ERR_INTEGRITY},
		{"add('memory.0.2', 'flat', bytes(65536))", "a blob that belongs to no image",
		 ERR_INTEGRITY},
		{"add('memory.0.hotlist', 'hotlist', bytes(8))", "its hot set is not",
		 ERR_INTEGRITY},
	};

	write_ok();
	check_passes("flat.torpor", "add('notes', 'notes', b'anything', True)");
	check_passes("packed.torpor", "add('notes', 'notes', b'', True)");
	check_refused("flat.torpor", edits, ARRAY_SIZE(edits));
}

/* Frames 0, 1 and 4 of the memory, in another order, are what the guest touches first. */
#define HOT(frames, places)                                                                        \
	"flat = content(role('memory.0.0')['digest']); f = 65536; "                                \
	"add('memory.0.hot', 'hot', b''.join(flat[p * f:p * f + f] for p in " frames ")); "        \
	"add('memory.0.hotlist', 'hotlist', b''.join(p.to_bytes(8, 'little') for p in " places     \
	"))"

Test(archive_contents, the_hot_set_is_a_copy_that_agrees)
{
	static const struct edit edits[] = {
		{HOT("(3, 0)", "(3, 1)"), "frame 1 of memory.0: SHA-256 differs", ERR_INTEGRITY},
		{HOT("(3,)", "(27,)"), "the hot set of memory.0: a place outside the data",
		 ERR_INTEGRITY},
		{HOT("(3,)", "(2**63,)"), "the hot set of memory.0: a place outside the data",
		 ERR_INTEGRITY},
		{HOT("(3, 0)", "(3,)"), "memory.0: its hot set is not what the map says",
		 ERR_INTEGRITY},
		{HOT("range(27)", "range(27)") "; "
					       "role('memory.0.hot').update(blob(flat + flat[:f]))",
		 "memory.0: its hot set is not what the map says", ERR_INTEGRITY},
		{HOT("(3,)", "(3,)") "; drop('memory.0.hot')",
		 "memory.0: its hot set is not what the map says", ERR_INTEGRITY},
		{HOT("(3,)", "(3,)") "; drop('memory.0.hotlist')",
		 "memory.0: its hot set is not what the map says", ERR_INTEGRITY},
		{HOT("()", "()"), "a blob that belongs to no image", ERR_INTEGRITY},
	};

	write_ok();
	check_passes("flat.torpor", HOT("(3, 0, 1)", "(3, 0, 1)"));
	check_refused("flat.torpor", edits, ARRAY_SIZE(edits));
}
